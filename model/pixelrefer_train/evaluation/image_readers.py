"""Readers of the public image benchmarks; prompts are those of the official evaluation.

Each takes the annotation file, the folder of the pictures and the model's variant (``lite`` or ``pixelrefer``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pixelrefer_core.errors import InvalidRequestError

from .item import Appearance, Box, EvaluationItem, Region
from .records import Record, read_json, read_records

CATEGORY = 'What is the category of <region>? Using only one word or phrase.'
PART_CATEGORY = (
    'What is the category of <region>? It maybe a subpart of an object. If it is a subpart, output in the format '
    "of 'category:subcategory', else just output the category."
)
BRIEF_VG = 'Please describe <region> briefly.'
BRIEF_REF_L4 = 'Please describe <region> in brief.'
DETAIL_REF_L4 = 'Please describe <region> in detail.'
DETAIL_DLC = 'Please describe the region <region> in the image in detail. Do not describe anything else.'
REASON_LITE = 'There is 1 region in the image: <region> '


def read_lvis(file: Path, media: Path, variant: str) -> list[EvaluationItem]:
    """Read Osprey's ``lvis_val_1k_category.json``: pictures with categories and masks in turn."""
    return _categories(file, media, CATEGORY)


def read_paco(file: Path, media: Path, variant: str) -> list[EvaluationItem]:
    """Read Osprey's ``paco_val_1k_category.json``: like LVIS, with parts of objects."""
    return _categories(file, media, PART_CATEGORY)


def read_vg(file: Path, media: Path, variant: str) -> list[EvaluationItem]:
    """Read Visual Genome captions: ``image`` [name], ``boxes`` [[x, y, w, h]], ``caption``. Boxes are masks."""
    return [
        _item(str(number), 'caption', media / record['image'][0], BRIEF_VG, _box(record['boxes'][0]), record)
        for number, record in enumerate(read_records(file, 'image', 'boxes', 'caption'))
    ]


def read_ref_l4(file: Path, media: Path, variant: str) -> list[EvaluationItem]:
    """Read Ref-L4 (JSON lines): ``file_name``, ``bbox`` [x, y, w, h], ``caption``; asked for brief captions."""
    return _ref_l4(file, media, BRIEF_REF_L4)


def read_ref_l4_detail(file: Path, media: Path, variant: str) -> list[EvaluationItem]:
    """Read Ref-L4, asked for detailed captions, which a judge compares (CLAIR)."""
    return _ref_l4(file, media, DETAIL_REF_L4)


def read_dlc(file: Path, media: Path, variant: str) -> list[EvaluationItem]:
    """Read DLC-Bench's ``annotations.json`` (COCO): one description for each annotated object."""
    content = read_json(file)
    if not isinstance(content, dict) or not {'images', 'annotations'} <= content.keys():
        raise InvalidRequestError(f'{file} is no COCO file: it lacks images or annotations')
    names = {image['id']: image['file_name'] for image in content['images']}
    return [
        _item(
            str(record['id']), 'detail', media / names[record['image_id']], DETAIL_DLC, record['segmentation']
        )
        for record in content['annotations']
    ]


def read_ferret(file: Path, media: Path, variant: str) -> list[EvaluationItem]:
    """Read Ferret-Bench as converted for masks: ``question_id``, ``image``, ``text``, ``category``, ``annotation``."""
    items = []
    for record in read_records(file, 'question_id', 'image', 'text', 'category', 'annotation'):
        text = record['text']
        if variant == 'lite' and 'reason' in record['category']:
            text = REASON_LITE + text.replace('<region>', '')
        item_id, mask = str(record['question_id']), record['annotation']['segmentation']
        extra = {'question': record['text'], 'picture': record['image']}
        picture = _find(media, record['image'])
        items.append(_item(item_id, record['category'], picture, text, mask, extra=extra))
    return items


def _categories(file: Path, media: Path, instruction: str) -> list[EvaluationItem]:
    items = []
    for number, record in enumerate(read_records(file, 'file_name', 'categories', 'annotations')):
        picture = _find(media, record['file_name'])
        pairs = zip(record['categories'], record['annotations'], strict=True)
        for index, (category, annotation) in enumerate(pairs):
            found = {'caption': category}
            item_id = f'{number}.{index}'
            items.append(_item(item_id, 'category', picture, instruction, annotation['segmentation'], found))
    return items


def _ref_l4(file: Path, media: Path, instruction: str) -> list[EvaluationItem]:
    items = []
    for number, record in enumerate(read_records(file, 'file_name', 'bbox', 'caption')):
        # The two sources of its pictures; the official script keeps those of Objects365 alone.
        source = 'objects365' if 'objects365' in record['file_name'].lower() else 'coco'
        # The official script cuts fractions off before it adds width to left edge.
        box = _box([int(value) for value in record['bbox']])
        items.append(_item(str(number), source, media / record['file_name'], instruction, box, record))
    return items


def _item(
    item_id: str,
    kind: str,
    picture: Path,
    instruction: str,
    region: Region,
    record: Record | None = None,
    extra: dict[str, str] | None = None,
) -> EvaluationItem:
    return EvaluationItem(
        item_id=item_id,
        type=kind,
        instruction=instruction,
        objects=((Appearance(0, region),),),
        media=picture,
        references=(str(record['caption']),) if record else (),
        scene=picture.name,
        extra=extra or {},
    )


def _box(xywh: Sequence[float]) -> Box:
    x, y, width, height = xywh
    return Box(x, y, x + width, y + height)


def _find(media: Path, name: str) -> Path:
    """Return a COCO picture's path, from a folder of pictures or one of COCO's parts."""
    parts = [media / 'train2017' / name, media / 'val2017' / name]
    return next((path for path in parts if path.exists()), media / name)
