"""Load, from outside: nothing here imports the rest of Grandstand, it speaks HTTP."""
