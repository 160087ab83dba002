"""What keeps one slow or dead part from taking the rest with it: deadline, bulkhead, breaker."""
