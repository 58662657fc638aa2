"""Videos in, clips out: manifests, decoding, frame sampling, augmentation, batches, datasets.

Nothing heavy is imported here: the command line reads dataset configurations without torch or a decoder.
"""
