"""What the trainers run. These modules import torch; the settings beside this folder do not."""
