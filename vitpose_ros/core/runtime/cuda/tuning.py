"""What of a CUDA backend may be switched, and for which batch sizes there are graphs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuning:
    """Faster ways of computing the same, each of which can be switched off alone.

    Those of the network are tried when it is opened, beside the plain way: they are taken where
    they give the same within 16-bit error and are no slower; so are decoders of JPEG files, within
    some grey levels. The kernels for crops and decoding are taken where they give the same, graphs
    where they can be recorded, one_graph and bounding_area always: how long these take is not
    compared. CudaBackend.ways says what became of each.
    """

    graphs: bool = True  # CUDA graphs; without them each kernel is launched on its own
    one_graph: bool = True  # with one keypoint set, a single graph from crops to keypoints
    patch_product: bool = True  # patch embedding as a matrix product, normalisation folded in
    fused_gelu: bool = True  # GELU inside the first product of the feed-forward part
    fused_norms: bool = True  # sum and layer norm in one Triton kernel
    head_product: bool = True  # last convolution of the decoder as a matrix product
    grouped_experts: bool = True  # products with each sample's expert in a Triton kernel
    kernel_crops: bool = True  # one Triton kernel from the frame to the patches of its crops
    kernel_decode: bool = True  # one Triton kernel from heatmaps to keypoints
    bounding_area: bool = True  # of a frame only what its boxes cover goes to the GPU
    gpu_jpeg: bool = True  # JPEG files are decoded on the GPU, by torchvision or nvImageCodec
    fast_attention: bool = True  # the fastest of PyTorch's attention kernels, by measurement


def buckets(max_batch: int) -> list[int]:
    """Return the batch sizes that get a graph: 1, 2, 3, 4, 6, 8, 10 ... 16, 20 ..., and the last.

    Steps grow with the size, so that a batch is padded by a quarter at most, and by few crops.
    """
    sizes, size = [], 1
    while size < max_batch:
        sizes.append(size)
        # 1 up to 4, 2 up to 16, then a quarter of the last power of two
        size += 1 if size < 4 else 2 if size < 16 else (1 << (size.bit_length() - 1)) // 4
    return [*sizes, max_batch]
