"""Large images: what is lost is told, and what waits is bounded."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

LIMIT_S = 120
# The transports as the middleware has them without a profile, whatever the shell says.
DEFAULTS = {'FASTDDS_DEFAULT_PROFILES_FILE': '', 'FASTRTPS_DEFAULT_PROFILES_FILE': ''}


def test_lost_images_are_counted_and_a_warning_names_the_remedy(start, probe):
    node = start('pose_node', device='cpu', box_source='full_image', max_batch=1)
    probe.wait(lambda: probe.skeletons, 'pose_node active', LIMIT_S)
    start(
        'sending_node.py',
        arguments=['', '30', '40', '1920', '1080', 'best_effort', 'without_detections'],
        environment=DEFAULTS,
    )
    status = probe.wait_for_status(DiagnosticStatus.WARN, 'the middleware lost', limit_s=LIMIT_S)
    values = {entry.key: entry.value for entry in status.values}
    assert int(values['lost_images']) > 0
    assert 'export FASTDDS_DEFAULT_PROFILES_FILE=' in status.message
    assert 'config/fastdds.xml' in status.message
    probe.wait(lambda: 'the middleware lost' in node.log, 'it in the log')
    assert 'config/fastdds.xml' in node.log


@pytest.mark.parametrize('megabytes', [75, 150])
def test_images_that_wait_for_detections_are_bounded_in_bytes(megabytes, start, probe):
    node = start('pose_node', device='cpu', queue_mb=float(megabytes))
    probe.wait(lambda: probe.skeletons, 'pose_node active', LIMIT_S)
    probe.rest(2.0)
    before = node.memory_mb
    start(
        'sending_node.py',
        arguments=['', '3', '60', '3840', '2160', 'without_detections'],
        environment=DEFAULTS,
    )
    fit = megabytes * 1_000_000 // (3840 * 2160 * 3)
    peak = 0.0

    def enough():
        nonlocal peak
        peak = max(peak, node.memory_mb - before)
        return probe.values()['images'] >= 14

    probe.wait(enough, '14 images of 4K', LIMIT_S)
    values = probe.values()
    print(f'{peak:.0f} MB with {megabytes} MB that may wait')
    assert values['images'] - values['unpaired_images'] == fit
    assert peak < megabytes + 50
