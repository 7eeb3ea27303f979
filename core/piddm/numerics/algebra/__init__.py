"""Linear algebra and minimisation that know no residual."""
