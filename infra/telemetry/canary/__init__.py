"""What the live log says about a rollout's challenger and champion: sessions of users, and calibration."""
