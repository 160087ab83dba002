"""Commands about models that learn from their own log: drift, retraining, rollouts, shifts of the world."""
