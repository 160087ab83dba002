"""How a design's parts are put in order: online the stages of a request, offline the steps of a build."""
