"""What is counted, told and written down of what the endpoint does."""
