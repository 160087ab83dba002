"""One request, stage by stage: target → predict → auction. `pipeline` tells the story in order."""
