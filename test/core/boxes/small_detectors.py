"""Detectors with random weights, small enough for tests."""

import torch
import transformers

NAMES = {0: 'person', 1: 'bicycle', 2: 'dog'}
SIZE = {'height': 64, 'width': 64}


def small(kind):
    """Return a network of a kind of the library."""
    torch.manual_seed(0)
    common = {
        'd_model': 32,
        'encoder_hidden_dim': 32,
        'encoder_in_channels': [32, 64, 128],
        'encoder_ffn_dim': 64,
        'decoder_in_channels': [32, 32, 32],
        'decoder_ffn_dim': 64,
        'decoder_layers': 2,
        'decoder_attention_heads': 4,
        'encoder_attention_heads': 4,
        'num_queries': 20,
        'id2label': NAMES,
        'label2id': {name: number for number, name in NAMES.items()},
    }
    if kind == 'd_fine':
        backbone = transformers.HGNetV2Config(
            stem_channels=[3, 8, 16],
            hidden_sizes=[16, 32, 64, 128],
            stage_in_channels=[16, 16, 32, 64],
            stage_mid_channels=[8, 8, 16, 32],
            stage_out_channels=[16, 32, 64, 128],
            stage_num_blocks=[1, 1, 1, 1],
            stage_numb_of_layers=[1, 1, 1, 1],
            out_features=['stage2', 'stage3', 'stage4'],
            return_idx=[1, 2, 3],
        )
        config = transformers.DFineConfig(backbone_config=backbone, hidden_size=32, **common)
        network = transformers.DFineForObjectDetection(config)
    else:
        backbone = transformers.RTDetrResNetConfig(
            embedding_size=16,
            hidden_sizes=[16, 32, 64, 128],
            depths=[2, 2, 2, 2],
            layer_type='basic',
            out_features=['stage2', 'stage3', 'stage4'],
        )
        config = transformers.RTDetrV2Config(backbone_config=backbone, **common)
        network = transformers.RTDetrV2ForObjectDetection(config)
    for parameter in network.parameters():  # so that scores differ
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return network.eval()


def write(kind, folder):
    """Write a detector as its library does."""
    small(kind).save_pretrained(folder)
    transformers.RTDetrImageProcessor(size=SIZE).save_pretrained(folder)
