"""Generated images with the JPEG tables and sizes of real ones (``datamodule.align``)."""
