"""A prepared HDF5 file, or one in the layout of the aiornot notebook."""

from datamodules.image_datamodule import ImageDataModule
from datamodules.loading.hdf5_manifest import read_manifest
from datamodules.loading.stores import Hdf5Store
from datamodules.tables.manifest import Manifest


class Hdf5DataModule(ImageDataModule):
    """Reads the groups ``train``, ``valid`` and ``test`` of one file; each is the split of that name.

    Other common split names (`datamodules.folders.names.SPLITS`) are accepted too, in any case.

    A file written by ``task=prepare`` (root attribute ``pixelproof_format``) contains ids and the rest of its
    manifest; its ``where`` and ``row``, the original place of an image, become ``origin`` and ``origin_row``. A file
    with only ``image`` and ``target`` gets ids made of group and position (``train/17``).
    """

    def build_manifest(self) -> Manifest:
        """Concatenate the columns of all groups."""
        return read_manifest(self.path)

    def build_store(self, manifest: Manifest) -> Hdf5Store:
        """Read that file."""
        return Hdf5Store(manifest)
