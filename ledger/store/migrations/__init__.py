"""Migrations: how a database that an older witnesstree made gets the schema of this one."""
