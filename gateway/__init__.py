"""The way in: HTTP and WebSocket for players and staff, and the outside world's dialects."""
