"""Files on disk: a directory walker, image trees and lists."""
