"""A prepared HDF5 file, or one in the layout users of the aiornot data already have."""

from datamodules.image_datamodule import ImageDataModule
from datamodules.loading.hdf5_manifest import read_manifest
from datamodules.loading.stores import Hdf5Store
from datamodules.tables.manifest import Manifest


class Hdf5DataModule(ImageDataModule):
    """Reads groups ``train``, ``valid`` and ``test`` of one file, each the split of its name.

    Usual other names of splits are read as well (`datamodules.folders.names.SPLITS`), in any case.

    A file written by ``task=prepare`` (root attribute ``pixelproof_format``) brings ids and the rest of its manifest
    along; its ``where`` and ``row``, which tell where an image came from, become ``origin`` and ``origin_row``. A file
    with only ``image`` and ``target`` gets ids of group and position (``train/17``).
    """

    def build_manifest(self) -> Manifest:
        """The groups' columns, one after another."""
        return read_manifest(self.path)

    def build_store(self, manifest: Manifest) -> Hdf5Store:
        """Reads that file."""
        return Hdf5Store(manifest)
