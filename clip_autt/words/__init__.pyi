"Faces told in words: sentences for action units and signals, zero-shot answers, language models."
