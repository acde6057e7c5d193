"""Install the part without ROS: pip install .  (colcon builds the whole and does not run this)."""

from setuptools import setup

setup(
    name='vitpose_ros',
    version='0.1.0',
    description='Keypoints of people and animals from images and boxes, with ViTPose++',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=[
        'vitpose_ros',
        'vitpose_ros.core',
        'vitpose_ros.core.boxes',
        'vitpose_ros.core.geometry',
        'vitpose_ros.core.model',
        'vitpose_ros.core.runtime',
        'vitpose_ros.core.runtime.cuda',
        'vitpose_ros.core.tracks',
        'vitpose_ros.core.weights',
        'vitpose_ros.models',
        'vitpose_ros.tools',
        'vitpose_ros.tools.bench',
    ],
    package_dir={'vitpose_ros.models': 'models'},
    package_data={
        'vitpose_ros': ['py.typed'],
        'vitpose_ros.models': ['*.safetensors', '*.json', '*.md'],
    },
    # OpenCV comes in several flavours of one module; robots have the one of apt.
    install_requires=['numpy', 'safetensors', 'scipy', 'torch>=2.4'],
    extras_require={
        'opencv': ['opencv-python-headless'],
        'hub': ['huggingface_hub>=0.30'],
        'openvino': ['openvino>=2024.4'],
        'evaluate': ['pycocotools'],
        'detector': ['transformers>=4.52', 'pillow'],
        'onnx': ['onnxruntime', 'onnx', 'onnxscript'],  # with an NVIDIA GPU onnxruntime-gpu
    },
    entry_points={'console_scripts': ['vitpose_ros = vitpose_ros.__main__:main']},
)
