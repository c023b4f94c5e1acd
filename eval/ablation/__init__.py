"""The paper's ablation on one model: plans, pictures and figures side by side."""
