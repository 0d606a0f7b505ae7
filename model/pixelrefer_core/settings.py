"""Every setting of the project: name, type, unit, default, range and help, written once.

The YAML files, the ROS parameters, the tables in the documentation and ``--help`` are made from the
dataclasses below. Architecture numbers are no settings: they come from a checkpoint's ``config.json``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .setting import setting


@dataclass(frozen=True)
class ModelSettings:
    """Which model answers, and where it runs."""

    path: str = setting(
        'random-nano',
        'checkpoint folder, hub repository in the local cache, nano (shipped, trained on simulated tabletops only), '
        'or random-nano / random-2b / random-7b (untrained weights of that size)',
    )
    device: str = setting('auto', 'auto, cpu, cuda or cuda:N; auto takes the first GPU')
    dtype: str = setting(
        'auto',
        'precision; auto = bfloat16 (or float16) on a GPU, float32 on a CPU',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
    )
    compat: str = setting(
        'fixed',
        'official = upstream behaviour to the letter, faults included; fixed = faults mended',
        choices=('fixed', 'official'),
    )
    threads: int = setting(0, 'CPU threads of the model; 0 = all cores', minimum=0, maximum=1024)


@dataclass(frozen=True)
class TrackerSettings:
    """How objects are followed from frame to frame."""

    backend: str = setting('flow', 'flow needs no weights, sam2 those of path', choices=('flow', 'sam2'))
    path: str = setting(
        '',
        'of sam2: checkpoint folder, hub repository in the local cache, nano (shipped, trained on simulated '
        'tabletops only), or random-nano (untrained)',
    )
    device: str = setting('auto', 'of sam2: auto, cpu, cuda or cuda:N; auto takes the first GPU')
    dtype: str = setting(
        'auto',
        'of sam2: precision; auto = bfloat16 (or float16) on a GPU, float32 on a CPU',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
    )
    image_size: int = setting(
        0,
        'of sam2: side of the square in which it sees the image, a multiple of 32; 0 = that of the checkpoint',
        unit='px',
        minimum=0,
        maximum=2048,
    )
    window_frames: int = setting(
        16,
        'of sam2: recent frames that an object remembers; the published models look back 15 at most',
        unit='frames',
        minimum=1,
        maximum=64,
    )
    window_s: float = setting(
        60.0,
        'of sam2: of them, those older than this before the newest that shows the object are dropped',
        unit='s',
        minimum=0.0,
        maximum=3600.0,
    )
    memory_s: float = setting(
        60.0,
        'of sam2: out of view for longer than this, an object remembers its prompts alone',
        unit='s',
        minimum=0.0,
        maximum=86400.0,
    )
    kept_prompts: int = setting(
        4,
        'of sam2: prompted frames that an object remembers for good; a new one replaces the oldest',
        unit='frames',
        minimum=1,
        maximum=64,
    )
    batched: bool = setting(
        True, 'of sam2: objects together in one batch; false = each alone, equal to the last bit'
    )
    compile: bool = setting(
        False, 'of sam2: compile the image encoder; takes minutes at start, faster afterwards on a GPU'
    )
    max_objects: int = setting(8, 'most objects tracked at once', minimum=1, maximum=64, live=True)
    lost_after_s: float = setting(
        2.0, 'hidden for longer than this = LOST', unit='s', minimum=0.0, maximum=3600.0, live=True
    )
    confirm_frames: int = setting(
        2,
        'frames in a row that it takes to hide an object or to bring it back; 1 = every flicker counts',
        unit='frames',
        minimum=1,
        maximum=100,
        live=True,
    )
    flow_height: int = setting(
        180, 'rows at which optical flow is computed', unit='px', minimum=60, maximum=1080
    )


@dataclass(frozen=True)
class DetectionSettings:
    """What becomes of a detector's boxes and masks."""

    match_overlap: float = setting(
        0.3,
        'intersection over union from which on a detection may be a known object',
        minimum=0.01,
        maximum=1.0,
        live=True,
    )
    start_score: float = setting(
        0.3, 'detections below this confidence start nothing new', minimum=0.0, maximum=1.0, live=True
    )
    confirm_hits: int = setting(
        2,
        'something new becomes an object when so many images ...',
        unit='images',
        minimum=1,
        maximum=100,
        live=True,
    )
    confirm_of: int = setting(
        3, '... of so many in a row show it', unit='images', minimum=1, maximum=100, live=True
    )
    refresh_below: float = setting(
        0.5,
        'an object of a lower score, or that overlaps its detection less, is prompted anew',
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    keep_lost_s: float = setting(
        10.0,
        'an object of the detector that is hidden for longer than this is removed',
        unit='s',
        minimum=0.0,
        maximum=86400.0,
        live=True,
    )


@dataclass(frozen=True)
class DetectorSettings:
    """What finds objects by words; without a path, nothing does."""

    path: str = setting(
        '',
        'checkpoint folder or hub repository in the local cache (OWLv2, OWL-ViT, Grounding DINO), or the folder of a '
        'simulated clip, whose truth it tells; empty = none',
    )
    device: str = setting('auto', 'auto, cpu, cuda or cuda:N; auto takes the first GPU')
    dtype: str = setting(
        'float32',
        'precision; auto = bfloat16 (or float16) on a GPU, float32 on a CPU',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
    )
    threshold: float = setting(
        0.2, 'detections below this confidence are dropped', minimum=0.01, maximum=1.0, live=True
    )


@dataclass(frozen=True)
class WindowSettings:
    """The sliding window of object tokens that answers rest on."""

    max_frames: int = setting(
        16, 'object-frames kept per object', unit='frames', minimum=1, maximum=180, live=True
    )
    duration_s: float = setting(
        30.0, 'object-frames older than this are dropped', unit='s', minimum=0.1, maximum=3600.0, live=True
    )
    sample_rate_hz: float = setting(
        1.0,
        'object tokens are made at this rate (the model was trained at 1 Hz)',
        unit='Hz',
        minimum=0.01,
        maximum=30.0,
        live=True,
    )
    minimum_area_px: int = setting(
        16, 'masks smaller than this make no tokens', unit='px', minimum=1, maximum=100000, live=True
    )
    recent_frames: int = setting(
        30,
        'camera frames held so that a prompt may refer to one by stamp',
        unit='frames',
        minimum=1,
        maximum=300,
    )
    recent_mb: int = setting(128, 'memory of those frames at most', unit='MB', minimum=8, maximum=4096)


@dataclass(frozen=True)
class GenerationSettings:
    """Defaults of text decoding."""

    max_new_tokens: int = setting(128, 'longest answer', unit='tokens', minimum=1, maximum=2048, live=True)
    timeout_s: float = setting(
        30.0, 'deadline of an answer, from the request', unit='s', minimum=0.1, maximum=3600.0, live=True
    )


@dataclass(frozen=True)
class WatchSettings:
    """Conditions that are checked whenever there are new object tokens, and what that may cost."""

    most: int = setting(64, 'watches at once; the next one is BUSY', minimum=1, maximum=1024, live=True)
    on_threshold: float = setting(
        0.7, 'probability from which on a check speaks for the condition', minimum=0.0, maximum=1.0, live=True
    )
    off_threshold: float = setting(
        0.3, 'probability up to which a check speaks against it', minimum=0.0, maximum=1.0, live=True
    )
    share: float = setting(
        0.3,
        'most of the time of the device that checks may take; less where tracking needs it',
        minimum=0.02,
        maximum=1.0,
        live=True,
    )
    batch: int = setting(
        16, 'most checks in one pass of the language model', minimum=1, maximum=256, live=True
    )
    turn_s: float = setting(
        0.05,
        'a pass has as many checks as fit into this, so long may an image have to wait',
        unit='s',
        minimum=0.001,
        maximum=10.0,
        live=True,
    )
    patience_s: float = setting(
        1.0,
        'checks let questions go first for so long, then they come between two tokens',
        unit='s',
        minimum=0.0,
        maximum=3600.0,
        live=True,
    )


@dataclass(frozen=True)
class LimitSettings:
    """What a single client may ask for."""

    queued_queries: int = setting(
        8, 'questions waiting at once; the next one is BUSY', minimum=1, maximum=1024
    )
    question_chars: int = setting(
        2000, 'longest question', unit='characters', minimum=16, maximum=100000, live=True
    )
    goal_questions: int = setting(
        16, 'most questions in one goal of the ask action', minimum=1, maximum=1024, live=True
    )
    question_objects: int = setting(8, 'most objects in one question', minimum=1, maximum=64, live=True)
    new_tokens: int = setting(
        2048, 'longest answer that a request may ask for', unit='tokens', minimum=1, maximum=16384, live=True
    )
    image_pixels: int = setting(
        33554432, 'largest image accepted, rows x columns', unit='px', minimum=4096, maximum=268435456
    )


@dataclass(frozen=True)
class ImageSettings:
    """How camera images reach the node."""

    transport: str = setting('raw', 'message type of the image topic', choices=('raw', 'compressed'))
    reliability: str = setting(
        'best_effort',
        'QoS of the image subscription; best_effort hears both kinds of publisher',
        choices=('best_effort', 'reliable'),
    )
    timeout_s: float = setting(
        2.0, 'no image for longer than this is a warning', unit='s', minimum=0.1, maximum=3600.0, live=True
    )


@dataclass(frozen=True)
class DepthSettings:
    """Where 3D positions come from: depth/image, registered to the colour image, and camera_info of that image."""

    enabled: bool = setting(True, 'listen to depth/image; false = no positions, and no cost')
    sync_tolerance_s: float = setting(
        0.05,
        'positions are taken from the depth image nearest in time to the image, if it is no farther than this',
        unit='s',
        minimum=0.0,
        maximum=10.0,
        live=True,
    )
    buffer_mb: int = setting(
        64, 'memory of the depth images that wait for their image', unit='MB', minimum=4, maximum=4096
    )
    minimum_measurements: int = setting(
        20,
        'an object with fewer depth pixels has no position',
        unit='px',
        minimum=1,
        maximum=100000,
        live=True,
    )
    rectified: bool = setting(
        False, 'the images are rectified: P of camera_info counts; false = K and D do', live=True
    )
    tf_tolerance_s: float = setting(
        0.1,
        'where tf has nothing for the time of an image, a transform so much older counts',
        unit='s',
        minimum=0.0,
        maximum=10.0,
        live=True,
    )


@dataclass(frozen=True)
class PublishSettings:
    """What the node publishes besides objects and answers."""

    label_image: bool = setting(True, 'publish label_image while somebody listens', live=True)
    markers: bool = setting(True, 'publish markers while somebody listens', live=True)
    marker_lifetime_s: float = setting(
        1.0,
        'markers vanish this long after the last image',
        unit='s',
        minimum=0.05,
        maximum=3600.0,
        live=True,
    )
    feedback_rate_hz: float = setting(
        10.0,
        'most feedback of a goal of the ask action; its first text and the end of each question come at once',
        unit='Hz',
        minimum=0.1,
        maximum=100.0,
        live=True,
    )
    status_rate_hz: float = setting(
        1.0, 'rate of status and /diagnostics', unit='Hz', minimum=0.1, maximum=50.0
    )


@dataclass(frozen=True)
class Settings:
    """Settings of ``pixelrefer_node`` and of the ROS-free engine."""

    autostart: bool = setting(True, 'configure and activate at start; false under a lifecycle manager')
    target_frame: str = setting('', 'tf frame of 3D positions; empty = that of the camera', live=True)
    model: ModelSettings = field(default_factory=ModelSettings)
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    detections: DetectionSettings = field(default_factory=DetectionSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    window: WindowSettings = field(default_factory=WindowSettings)
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    watches: WatchSettings = field(default_factory=WatchSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    image: ImageSettings = field(default_factory=ImageSettings)
    depth: DepthSettings = field(default_factory=DepthSettings)
    publish: PublishSettings = field(default_factory=PublishSettings)


@dataclass(frozen=True)
class CameraSettings:
    """Settings of ``camera_node``, which plays a clip as if it were a camera."""

    source: str = setting('', 'folder of images, video file, or rosbag2 (folder or .mcap / .db3 file)')
    topic: str = setting('', 'image topic inside a bag; empty = the only one')
    rate_hz: float = setting(
        0.0, 'frames per second; 0 = the pace of the source', unit='Hz', minimum=0.0, maximum=1000.0
    )
    folder_rate_hz: float = setting(
        10.0, 'nominal rate of a folder of images, which carries none', unit='Hz', minimum=0.1, maximum=1000.0
    )
    loop: bool = setting(True, 'start again at the end; false = stop publishing')
    stamps: str = setting(
        'now',
        'now = time of publication, source = stamps of the source; folders and videos start at 1 s',
        choices=('now', 'source'),
    )
    frame_id: str = setting('camera_optical_frame', 'tf frame written into the images')
    encoding: str = setting('rgb8', 'encoding of the raw images', choices=('rgb8', 'bgr8', 'mono8'))
    compressed: bool = setting(False, 'also publish image/compressed (JPEG)')
    depth: bool = setting(
        True, 'publish depth/image and camera_info, too, of a folder that has depth (docs/simulation.md)'
    )
    jpeg_quality: int = setting(90, 'quality of the JPEG', minimum=1, maximum=100)
    reliability: str = setting('reliable', 'QoS of the publisher', choices=('best_effort', 'reliable'))
    wait_for_subscribers: int = setting(
        0, 'hold the first frame until so many listen to the images', minimum=0, maximum=100
    )
    lockstep: bool = setting(
        False, 'hold each image until the stamp of the one before comes back on image_done (std_msgs/Header)'
    )


@dataclass(frozen=True)
class DetectorNodeSettings:
    """Settings of ``detector_node``, which turns words into prompts."""

    autostart: bool = setting(True, 'configure and activate at start; false under a lifecycle manager')
    classes: str = setting('', 'words to look for, separated by commas; empty = nothing', live=True)
    rate_hz: float = setting(
        2.0, 'most images looked at; the newest counts', unit='Hz', minimum=0.01, maximum=100.0, live=True
    )
    transport: str = setting('raw', 'message type of the image topic', choices=('raw', 'compressed'))
    reliability: str = setting(
        'best_effort', 'QoS of the image subscription', choices=('best_effort', 'reliable')
    )
    detector: DetectorSettings = field(default_factory=DetectorSettings)


@dataclass(frozen=True)
class OverlaySettings:
    """Settings of ``overlay_node``, which draws objects and answers on the image."""

    reliability: str = setting(
        'best_effort', 'QoS of the image subscription', choices=('best_effort', 'reliable')
    )
    history_frames: int = setting(
        10, 'images held until their objects arrive', unit='frames', minimum=1, maximum=100
    )
    answer_s: float = setting(
        8.0, 'how long an answer stays on the image', unit='s', minimum=0.0, maximum=600.0, live=True
    )
    opacity: float = setting(0.45, 'of the masks', minimum=0.0, maximum=1.0, live=True)


@dataclass(frozen=True)
class OperatorSettings:
    """Settings of ``operator_node``, which puts menus on the objects in RViz."""

    hold_s: float = setting(
        2.0,
        'an object without a valid position keeps its menu where it was for so long',
        unit='s',
        minimum=0.0,
        maximum=3600.0,
        live=True,
    )
    recent_questions: int = setting(
        5, 'most questions of a menu that were asked of its object before', minimum=0, maximum=50
    )
    rate_hz: float = setting(10.0, 'most changes shown', unit='Hz', minimum=0.5, maximum=60.0)
    timeout_s: float = setting(
        30.0, 'deadline of an answer that a menu asks for', unit='s', minimum=0.1, maximum=3600.0, live=True
    )
    horizon_s: float = setting(
        0.0,
        'how far predictions that a menu asks for look ahead; 0 = unspecified',
        unit='s',
        minimum=0.0,
        maximum=3600.0,
        live=True,
    )
    notice_s: float = setting(
        8.0,
        'how long it is said below an object why a request failed',
        unit='s',
        minimum=0.0,
        maximum=600.0,
        live=True,
    )
