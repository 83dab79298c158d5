"""Training data: lists of pairs, blur made from sharp photographs, and the batches of a run."""
