"""Drills on the real thing: kill it, fill its disk, stop it, while bets are placed; then count.

make drill                   all of them, about eight minutes
make drill ONLY=shard,gcs    some of them
"""
