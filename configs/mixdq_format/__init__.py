"""The files of the paper's authors: bit maps, protected layers, sensitivity tables."""
