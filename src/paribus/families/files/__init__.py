"""A checkpoint's folder as it lies on disk, read safely: nothing in it is run, and only what is asked for is read.

folder = open_folder("llama")            # config and headers: no weight is read
folder.config["hidden_size"]
folder.tensors["lm_head.weight"].shape
folder.tensor("lm_head.weight")          # mapped from the file, not copied
"""

from paribus.families.files.config import read_config, warnings_of
from paribus.families.files.folder import Folder, open_folder
from paribus.families.files.headers import Header, TensorInfo, read_header

__all__ = ["Folder", "Header", "TensorInfo", "open_folder", "read_config", "read_header", "warnings_of"]
