"""Ways to draw samples under an equation, one file each; piddm.plugins.builtin names them."""
