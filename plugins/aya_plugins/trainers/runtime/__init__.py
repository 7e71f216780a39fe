"""What the trainers run. All but `settings.py` import torch; they import no strategy."""
