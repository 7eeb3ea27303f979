"""Questions and answers: what is observed, what is asked, and the ensemble that is found."""
