"""Studies of many trainings, which processes and machines share."""
