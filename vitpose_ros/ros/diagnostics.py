"""What pose_node says of itself on /diagnostics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

BEHIND = 0.1  # part of the frames that may be overwritten before a camera counts as behind
LOST = 0.1  # part of the images that may be lost on their way
STRANGE_LATENCY_S = (-0.05, 60.0)  # beyond these, clocks differ
LARGER_BUFFERS = (
    'where the camera is started, export FASTDDS_DEFAULT_PROFILES_FILE="$(ros2 pkg prefix --share '
    'vitpose_ros)/config/fastdds.xml" (Humble, Jazzy: FASTRTPS_DEFAULT_PROFILES_FILE), or publish '
    'smaller or compressed images'
)

Finding = tuple[bytes, str]  # level and message


@dataclass(frozen=True)
class CameraReport:
    """How one camera fares. Counts since the start, what they grew by recently, and rates."""

    counts: Mapping[str, int] = field(default_factory=dict)
    recent: Mapping[str, int] = field(default_factory=dict)
    hertz: Mapping[str, float] = field(default_factory=dict)
    summary: Mapping[str, float] = field(default_factory=dict)  # of timing.RecentFrames
    trouble: tuple[str, str] | None = None  # kind and text of what keeps frames from coming
    mismatch: str | None = None  # a publisher that is not heard
    crowding: str = ''  # why images do not wait long enough for their detections


def camera_findings(report: CameraReport) -> list[Finding]:
    """Judge how a camera fares: all that is wrong, the worst first."""
    recent = dict.fromkeys(
        (
            'detections',
            'unpaired_detections',
            'paired',
            'overwritten',
            'too_old',
            'failed',
            'published',
        ),
        0,
    )
    recent.update(report.recent)
    findings = []
    if report.trouble is not None:
        kind, text = report.trouble
        findings.append((WARN if kind == 'no detections' else ERROR, text))
    loss = image_loss(report) or ('' if report.trouble else _unpaired(recent, report.crowding))
    if loss:
        findings.append((WARN, loss))
    findings += _failures(recent)
    if report.mismatch is not None:
        findings.append((WARN, report.mismatch))
    latency_s = report.summary.get('latency_median_ms', 0.0) / 1e3
    if not STRANGE_LATENCY_S[0] <= latency_s <= STRANGE_LATENCY_S[1]:
        findings.append(
            (
                WARN,
                f'stamps lie {abs(latency_s):.1f} s in the {"past" if latency_s > 0 else "future"}'
                "; synchronise the clock of the camera's host, or set use_sim_time for a "
                'recording',
            )
        )
    return sorted(findings, key=lambda finding: finding[0], reverse=True)


def image_loss(report: CameraReport) -> str:
    """Say how many images the middleware lost, if many."""
    lost = report.recent.get('lost_images', 0)
    sent = report.recent.get('images', 0) + lost
    if lost <= LOST * sent:
        return ''
    return f'the middleware lost {lost} of {sent} images; {LARGER_BUFFERS}'


def _unpaired(recent: Mapping[str, int], crowding: str) -> str:
    """Say how many detections found no image, if many."""
    unpaired, detections = recent['unpaired_detections'], recent['detections']
    if unpaired <= LOST * detections:
        return ''
    if crowding:
        return f'{unpaired} of {detections} detections found no image: {crowding}'
    return (
        f'{unpaired} of {detections} detections found no image: it was lost on its way, or is '
        f'gone by the time that the detector is done; {LARGER_BUFFERS}, or raise '
        'sync_queue_size, queue_mb and sync_timeout_s'
    )


def _failures(recent: Mapping[str, int]) -> list[Finding]:
    """Judge what became of the frames that paired."""
    findings = []
    blind = ERROR if recent['published'] == 0 else WARN
    if recent['failed']:
        findings.append(
            (blind, f'{recent["failed"]} of {recent["paired"]} frames failed; see the log')
        )
    if recent['too_old']:
        findings.append(
            (
                blind,
                f'{recent["too_old"]} of {recent["paired"]} frames were older than max_age_ms '
                'when their turn came',
            )
        )
    if recent['overwritten'] > BEHIND * recent['paired']:
        findings.append(
            (
                WARN,
                f'falling behind: {recent["overwritten"]} of {recent["paired"]} frames were '
                'overwritten by newer ones; use a smaller network, a faster device, fewer '
                'subjects, or a lower rate',
            )
        )
    return findings


def camera_status(
    name: str, topic: str, report: CameraReport, *, idle: str = '', broken: bool = False
) -> DiagnosticStatus:
    """Make the status of a camera.

    idle: why it is not used now, if so; broken: because something failed.
    """
    findings = [] if idle else camera_findings(report)
    if idle:
        message = idle
        if broken:
            findings, message = [(ERROR, idle)], f'{idle}: see the status of the network'
    elif findings:
        message = '; '.join(text for _, text in findings)
    elif 'latency_median_ms' in report.summary:
        message = (
            f'{report.hertz["published"]:.1f} Hz, latency '
            f'{report.summary["latency_median_ms"]:.0f} ms'
        )
    else:
        message = 'waiting for frames'
    values: dict[str, object] = {
        f'{name}_hz': f'{rate:.2f}' for name, rate in report.hertz.items()
    }
    values.update(report.counts)
    values.update({key: f'{value:.2f}' for key, value in report.summary.items()})
    return status(name, topic, findings[0][0] if findings else OK, message, values)


def status(
    name: str, hardware: str, level: bytes, message: str, values: Mapping[str, object]
) -> DiagnosticStatus:
    """Make a status."""
    return DiagnosticStatus(
        name=name,
        hardware_id=hardware,
        level=level,
        message=message,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )


def diagnostics(statuses: Sequence[DiagnosticStatus], stamp: object) -> DiagnosticArray:
    """Make the message; stamp is a builtin_interfaces/Time."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp = stamp
    return message
