"""What runs inside the containers only."""
