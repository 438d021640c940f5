"""Which version answers, and whether a challenger becomes the champion."""
