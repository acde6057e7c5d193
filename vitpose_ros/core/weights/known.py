"""The networks that are known by name, and where they lie on this machine."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from vitpose_ros.core.errors import shorten
from vitpose_ros.core.model.config import PUBLIC_UDP
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.weights.files import CheckpointError, locate

EMBEDDED_MODEL = 'nano'
DIRECTORY_VARIABLE = 'VITPOSE_ROS_MODELS'  # environment variable, instead of the cache directory
LICENCE = 'Apache-2.0'  # of all of them

# The authors' own files, as mirrored by the maintainer of their Hugging Face conversion.
ORIGINALS = 'nielsr/vitpose-original-checkpoints'
ORIGINALS_REVISION = 'e8141930a5f66b269e22713bbd9ee3f06bbe89b0'
# The authors' files, split into one dense network per keypoint set.
SPLITS = 'JunkyByte/easy_ViTPose'
SPLITS_REVISION = '2757e82adcccda02f9f7fef66e5a115b7be439fe'


@dataclass(frozen=True)
class KnownModel:
    """A network with a name."""

    name: str
    size: str  # key of SIZES
    keypoint_sets: tuple[str, ...]
    megabytes: int
    repository: str | None = None  # on huggingface.co; None: comes with the package
    revision: str = ''  # commit of the repository
    filename: str = ''  # in the repository
    sha256: str = ''  # empty: only the hub's own, for that commit, is known
    udp: tuple[str, ...] = PUBLIC_UDP  # sets in the unbiased convention, where the file is silent

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        if self.repository is None:
            return 'comes with the package'
        return f'huggingface.co/{self.repository}'


# Size on disk, and letter in the names of the split files.
_SPLIT_SIZES = (('small', 's', 97), ('base', 'b', 360), ('large', 'l', 1234), ('huge', 'h', 2549))

_SPLIT_SHA256 = {
    'small-coco': 'd5399f0e60a74fe8b48e8a3692dd7311aa307b552cd2412a90452308d7372c66',
    'large-coco': '2f8862560a12ea9f68c79528e5fd5db1ce6b602acd74ee09cd2533cc1d77e76f',
    'small-aic': 'cbfa6249764ba2c1fb641aedeab366a4421982716cd29fdb8b7e620783d63f05',
    'base-aic': '0a020a410cf333d4e4b521f3751ddb1fa4160d09d97516f2e611f71066dead08',
    'large-aic': '6e5c77966c9b5e6db25782721b0400d7ec27166b93c39d94cc203e18d892b254',
    'huge-aic': '1ec4656b3954f09753972f0171579ace3ff21676011db45b6b9091cf98ed8e0d',
    'huge-mpii': '6be3f08c434c110fe3154c8d9e2ea32f8f940019f719b5a6424a9fbc5c76cb2a',
    'small-ap10k': '352c6d6997823d924ff2a6606d4f3f15582dad398bafa83c0ab7939682c35e84',
    'base-ap10k': '33e76039deea7acfb438e576db7f189b296bf7b7dc202cb32976c0ccd3cd950a',
    'huge-ap10k': 'ce3467e52622e654a2c0c01330beb45fec99a67a9bd1ea8eb5e1b3a2f114a449',
    'small-wholebody': 'ac816e8fdfdf167f6286a5c7f1a3877ddda14ea93fdef13da51e44cac048a574',
    'base-wholebody': '3365f2f33cd11267e1f447fe22a1669f54dfbe8507651c88727d94287ab2522a',
}


def _original(
    name: str, filename: str, megabytes: int, sha256: str, keypoint_sets: tuple[str, ...]
) -> KnownModel:
    return KnownModel(
        name,
        'base',
        keypoint_sets,
        megabytes,
        ORIGINALS,
        ORIGINALS_REVISION,
        filename,
        sha256,
    )


_TABLE = (
    KnownModel(EMBEDDED_MODEL, 'nano', ('coco', 'aic', 'mpii', 'wholebody'), 11),
    _original(
        'vitpose-base-simple',
        'vitpose-b-simple.pth',
        344,
        '1d60b1e86af84d36cb57d500c5d517f66beb211cfcb36d5e60c741f2164533da',
        ('coco',),
    ),
    _original(
        'vitpose-base',
        'vitpose-b.pth',
        360,
        '2e849e1f1dbb5b87191eda7171f1b16468d5d082a7380e93e94b7ce76a061679',
        ('coco',),
    ),
    _original(
        'vitpose-base-coco-aic-mpii',
        'vitpose_base_coco_aic_mpii.pth',
        394,
        '995bde407f608d37f3293c4c0601c31f67101b57b99555a1198c8eea63a2b360',
        ('coco', 'aic', 'mpii'),
    ),
    _original(
        'vitpose-plus-base',
        'vitpose+_base.pth',
        586,
        'de043d2ea25a8bcffeb8ea278a68f52e487b918866b629efb2f894b15fdb3545',
        tuple(SKELETONS),
    ),
    *(
        KnownModel(
            f'vitpose-{size}-{keypoint_set}',
            size,
            (keypoint_set,),
            megabytes,
            SPLITS,
            SPLITS_REVISION,
            f'torch/{keypoint_set}/vitpose-{letter}-{keypoint_set}.pth',
            _SPLIT_SHA256.get(f'{size}-{keypoint_set}', ''),
        )
        for keypoint_set in SKELETONS
        for size, letter, megabytes in _SPLIT_SIZES
    ),
)

KNOWN_MODELS: dict[str, KnownModel] = {model.name: model for model in _TABLE}


def models_command(*arguments: str) -> str:
    """Return the command line of the models tool, with ROS and without, for an error message."""
    words = ' '.join(arguments)
    return (
        f'ros2 run vitpose_ros models {words} (without ROS: python3 -m vitpose_ros models {words})'
    )


def models_directory() -> Path:
    """Return where fetched networks lie: $VITPOSE_ROS_MODELS, or a folder of the user's cache."""
    if chosen := os.environ.get(DIRECTORY_VARIABLE):
        return Path(chosen).expanduser()
    cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(cache).expanduser() / 'vitpose_ros'


def path_of(model: KnownModel) -> Path:
    """Return where the file of a known model lies, or would lie."""
    if model.repository is None:
        # Beside the package where it is installed, beside its parent in a source checkout.
        package = Path(__file__).parents[2]
        folders = (package / 'models', package.parent / 'models')
        paths = [folder / f'{model.name}.safetensors' for folder in folders]
        return next((path for path in paths if path.is_file()), paths[0])
    return models_directory() / model.name / model.filename


def unknown_model(name: str) -> CheckpointError:
    """Return the error for a name that is not known; it says which one is close."""
    close = difflib.get_close_matches(name, KNOWN_MODELS, n=1, cutoff=0.5)
    return CheckpointError(
        f"model '{shorten(name)}' is neither a known name nor a file"
        + (f"; did you mean '{close[0]}'?" if close else '.')
        + f' For the known names: {models_command("list")}'
    )


def find_model(model: str | Path) -> Path:
    """Return the file of a model: a known name, a file, or a Hugging Face directory.

    Downloads nothing. Raises CheckpointError with the command that gets what is absent.
    """
    known = KNOWN_MODELS.get(str(model))
    if known is None:
        try:
            path = Path(model).expanduser()
            if path.exists() or path.suffix or len(path.parts) > 1:
                return locate(path)
        except (OSError, RuntimeError) as error:  # too long, or ~ of somebody who is not there
            raise CheckpointError(
                f"model '{shorten(str(model))}' cannot be looked for "
                f'({getattr(error, "strerror", None) or error}); give a known name or a file'
            ) from error
        raise unknown_model(str(model))
    path = path_of(known)
    if path.is_file():
        return path
    if known.repository is None:
        raise CheckpointError(
            f"the embedded network '{known.name}' is not in {path.parent}; install the package "
            'again'
        )
    raise CheckpointError(
        f"model '{known.name}' is not on this machine ({path} is absent). To fetch it, "
        f'{known.megabytes} MB: {models_command("fetch", known.name)}'
    )
