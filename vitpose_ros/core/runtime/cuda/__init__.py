"""PyTorch on an NVIDIA GPU: crops, network and decoding on the device, as CUDA graphs.

A graph replays all kernels of a pass at the cost of one launch, but for one batch size. So there
is one for each of a few sizes, the buckets, and a batch is padded to the next. Where memory does
not suffice for graphs, the same functions run eagerly.

tuning      what may be switched, and the buckets
device      streams, events and graphs; on a processor stand-ins, so that all logic runs there
crops       crops out of frames, into the memory that a pass reads
sampling    the kernel that cuts them
uploads     what is sent for them
jpeg        decoders of JPEG files
network     the network, rebuilt for a GPU
kernels     Triton kernels that it may use
measure     tries each faster way beside the plain one
passes      from crops to keypoints, as graphs or eagerly
backend     the whole, as a Backend
"""

from vitpose_ros.core.runtime.cuda.backend import CudaBackend
from vitpose_ros.core.runtime.cuda.crops import CudaCrops
from vitpose_ros.core.runtime.cuda.tuning import Tuning, buckets

__all__ = ['CudaBackend', 'CudaCrops', 'Tuning', 'buckets']
