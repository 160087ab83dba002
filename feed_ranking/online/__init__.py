"""One request, stage by stage: retrieve → rank → rerank. `pipeline` tells the story in order."""
