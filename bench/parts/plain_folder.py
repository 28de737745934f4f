"""``python -m bench.parts.plain_folder WEIGHTS FOLDER``: a folder scored as tutorials do, with two workers."""

import sys

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

from bench.parts.npr import plain_residual_features
from detectors.npr.net import NPRNet
from detectors.parts.normalise import IMAGENET_MEAN, IMAGENET_STD

if __name__ == "__main__":
    net = NPRNet(exact=True).eval()
    net.load_state_dict(torch.load(sys.argv[1], weights_only=True))
    view = Compose([Resize((256, 256)), ToTensor(), Normalize(IMAGENET_MEAN, IMAGENET_STD)])
    scores = []
    with torch.inference_mode():
        for images, _ in DataLoader(ImageFolder(sys.argv[2], view), batch_size=32, num_workers=2):
            scores += net.fc1(plain_residual_features(net, images)).squeeze(1).sigmoid().tolist()
    print(f"{len(scores)} images, mean score {sum(scores) / len(scores):.4f}")
