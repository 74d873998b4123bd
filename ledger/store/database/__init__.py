"""The metadata's tables, the questions to them, and what keeps them: SQLite or PostgreSQL."""
