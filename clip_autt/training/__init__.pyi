"Other ways to train: sparse steps, and source people as domains."
