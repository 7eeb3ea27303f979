"""Questions and answers: observations, the task, and the ensemble that answers it."""
