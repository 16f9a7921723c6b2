"""Files of other libraries' tokenizers: read without running anything, and written so that they load them."""
