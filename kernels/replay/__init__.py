"""Launches as data: what some code launched (`recording`), made shorter (`fusion`), given memory and run (`plan`)."""
