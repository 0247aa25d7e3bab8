"""A folder of each format, made from the same pictures and masks: class ids 0 to 2, and 255 where the format has void.

`FOLDERS[name](root)` writes one and gives (class names, whether it has void). Polygons are those of `outlines`; what
they cover is drawn here by the library that owns the format, or was drawn by it once (`cv2`).
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import zlib

import numpy as np
from PIL import Image, ImageDraw

from tests.data.making import picture, save

COUNT, SIZE = 6, (24, 36)
HEIGHT, WIDTH = SIZE
NAMES = ("background", "cat", "dög ß")
STEMS = tuple(f"pic {n}_ä" for n in range(COUNT))


def image(number):
    return picture(number, SIZE)[0]


def mask(number, void=True):
    """Class ids: a disc of class 1, a block of class 2 on top of it, void in a corner."""
    label = (picture(number, SIZE)[1] > 0).astype(np.uint8)
    label[10:16, 5 + number : 15 + number] = 2
    if void:
        label[:3, :4] = 255
    return label


def outlines(number):
    """(class id, polygon), in order."""
    return (
        (1, [(3.2 + number, 2.4), (30.7, 4.1), (27.5, 20.9), (8.3, 21.6)]),
        (2, [(12.5, 1.5), (33.25, 12.75), (14.1, 22.2), (10.4 + number, 9.9)]),
    )


def by_coco(number, shares=False):
    from pycocotools import mask as coco

    label = np.zeros(SIZE, np.uint8)
    for class_id, points in outlines(number):
        if shares:  # written as percent, and made pixels again
            points = [(100 * x / WIDTH / 100 * WIDTH, 100 * y / HEIGHT / 100 * HEIGHT) for x, y in points]
        flat = [value for point in points for value in point]
        label[coco.decode(coco.frPyObjects([flat], *SIZE))[:, :, 0] > 0] = class_id
    return label


def by_pillow(number):
    canvas = Image.new("L", (WIDTH, HEIGHT))
    for class_id, points in outlines(number):
        ImageDraw.Draw(canvas).polygon([tuple(p) for p in points], fill=class_id, outline=class_id)
    return np.array(canvas)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")


def palette(label):
    shown = Image.fromarray(label, mode="P")
    shown.putpalette([value for n in range(256) for value in ((n * 37) % 256, (n * 91) % 256, (n * 151) % 256)])
    return shown


COLORS = np.zeros((256, 3), np.uint8)
COLORS[:3], COLORS[255] = [(64, 128, 64), (192, 0, 128), (0, 128, 192)], (0, 0, 0)


def voc(root):
    for n, stem in enumerate(STEMS):
        save(root / f"JPEGImages/{stem}.jpg", image(n))
        (root / "SegmentationClass").mkdir(parents=True, exist_ok=True)
        palette(mask(n)).save(root / f"SegmentationClass/{stem}.png")
        save(root / f"SegmentationObject/{stem}.png", mask(n))
    write(root / "class_names.txt", "".join(f"{name}\n" for name in NAMES))
    write(root / "ImageSets/Segmentation/train.txt", "".join(f"{stem}\n" for stem in STEMS[:4]))
    write(root / "ImageSets/Segmentation/val.txt", "".join(f"{stem}\n" for stem in STEMS[4:]))
    return NAMES, True


def cvat_voc(root):
    colors = COLORS.copy()
    colors[0], colors[255] = 0, (224, 224, 192)
    for n, stem in enumerate(STEMS):
        save(root / f"JPEGImages/{stem}.png", image(n))
        save(root / f"SegmentationClass/{stem}.png", colors[mask(n)])
    rows = "".join(f"{name}:{','.join(map(str, colors[n]))}::\n" for n, name in enumerate(NAMES))
    write(root / "labelmap.txt", "# label:color_rgb:parts:actions\n" + rows)
    write(root / "ImageSets/Segmentation/default.txt", "".join(f"{stem}\n" for stem in STEMS))
    return NAMES, True


def camvid(root):
    for n, stem in enumerate(STEMS):
        split = "train" if n < 4 else "val"
        save(root / f"{split}/{stem}.png", image(n))
        save(root / f"{split}_labels/{stem}_L.png", COLORS[mask(n)])
    with open(root / "class_dict.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("name", "r", "g", "b"))
        rows.writerows((name, *COLORS[n].tolist()) for n, name in (*enumerate(NAMES), (255, "Void")))
    return NAMES, True


def segnet(root):
    for n in range(COUNT):
        split = "train" if n < 4 else "val"
        label = mask(n)
        label[label == 255] = 11
        save(root / f"{split}/0001TP_{n:06}.png", image(n))
        save(root / f"{split}annot/0001TP_{n:06}.png", label)
    write(root / "train.txt", "/SegNet/CamVid/train/0001TP_000000.png /SegNet/CamVid/trainannot/0001TP_000000.png\n")
    return ("Sky", "Building", "Pole"), True


def fastai(root):
    for n, stem in enumerate(STEMS):
        save(root / f"images/{stem}.png", image(n))
        save(root / f"labels/{stem}_P.png", mask(n, False))
    write(root / "codes.txt", "".join(f"{name}\n" for name in NAMES))
    write(root / "valid.txt", "".join(f"{stem}.png\n" for stem in STEMS[4:]))
    return NAMES, False


def coco_stuff(root):
    for n, stem in enumerate(STEMS):
        split = "train" if n < 4 else "val"
        save(root / f"{split}2017/{stem}.jpg", image(n))
        save(root / f"stuffthingmaps/{split}2017/{stem}.png", mask(n))
    write(root / "labels.txt", "0: unlabeled\n" + "".join(f"{n + 1}: {name}\n" for n, name in enumerate(NAMES)))
    return NAMES, True


def cityscapes(root, kind="labelIds"):
    ids = np.zeros(256, np.uint8)
    ids[:3], ids[255] = ((7, 8, 11), 0) if kind == "labelIds" else ((0, 1, 2), 255)
    for n in range(COUNT):
        split, name = ("train", "aachen") if n < 4 else ("val", "ulm")
        save(root / f"leftImg8bit/{split}/{name}/{name}_{n:06}_000019_leftImg8bit.png", image(n))
        save(root / f"gtFine/{split}/{name}/{name}_{n:06}_000019_gtFine_{kind}.png", ids[mask(n)])
        save(root / f"gtFine/{split}/{name}/{name}_{n:06}_000019_gtFine_color.png", COLORS[mask(n)])
    return ("road", "sidewalk", "building"), True


def cityscapes_train(root):
    return cityscapes(root, "labelTrainIds")


def ade20k(root):
    for n in range(COUNT):
        split, name = ("training", "ADE_train") if n < 4 else ("validation", "ADE_val")
        label = np.where(mask(n) == 255, 0, mask(n) + 1).astype(np.uint8)
        save(root / f"images/{split}/{name}_{n:08}.jpg", image(n))
        save(root / f"annotations/{split}/{name}_{n:08}.png", label)
    rows = "".join(f"{n + 1}\t0.1\t9\t9\t1\t{name}, other\n" for n, name in enumerate(NAMES))
    write(root / "objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tStuff\tName\n" + rows)
    return NAMES, True


# Numbers of classes in ADE20K's full release: green alone does not tell these apart.
ADE_CLASSES = (312, 312 + 256, 2855)


def ade20k_full(root, counted=False):
    """As the release of 2021, with numbers of classes in a *.json; counted: of 2016, with objects in an *_atr.txt."""
    for n in range(COUNT):
        split, name = ("training", "ADE_train") if n < 4 else ("validation", "ADE_val")
        stem, label = root / f"images/ADE/{split}/urban/street/{name}_{n:08}", mask(n)
        numbers = np.where(label == 255, 0, np.array(ADE_CLASSES)[label % 255])
        instances = np.where(label == 255, 0, np.array([90, 10, 200])[label % 255])
        save(stem.with_suffix(".jpg"), image(n))
        seg = np.dstack([numbers // 256 * 10, numbers % 256, instances]).astype(np.uint8)
        save(stem.with_name(stem.name + "_seg.png"), seg)
        save(stem.with_name(stem.name + "_parts_1.png"), seg[::-1])
        objects = [
            {"id": 0, "name": "cat, true cat", "name_ndx": ADE_CLASSES[1], "parts": {"part_level": 0}},
            {"id": 1, "name": "background, ground", "name_ndx": ADE_CLASSES[0], "parts": {"part_level": 0}},
            {"id": 2, "name": "tail", "name_ndx": 77, "parts": {"part_level": 1, "ispartof": 0}},
            {"id": 3, "name": "dög ß", "name_ndx": ADE_CLASSES[2], "parts": {"part_level": 0}},
        ]
        if counted:
            lines = [
                f'{number:03} # {item["parts"]["part_level"]} # 0 # {item["name"]} # {item["name"]} # "red"'
                for number, item in enumerate((*objects[:2], objects[3], objects[2]), start=1)
            ]
            write(stem.with_name(stem.name + "_atr.txt"), "\n".join(lines) + "\n")
        else:
            save(stem / f"instance_000_{stem.name}.png", (label == 1).astype(np.uint8) * 255)
            write(stem.with_suffix(".json"), {"annotation": {"filename": f"{stem.name}.jpg", "object": objects}})
    write(root / "index_ade20k.pkl", "no pickle")
    return NAMES, True


def ade20k_counted(root):
    return ade20k_full(root, counted=True)


def coco(root, shapes=None):
    categories = [{"id": 1, "name": NAMES[1], "supercategory": "animal"}, {"id": 7, "name": NAMES[2]}]
    content = {"images": [], "annotations": [], "categories": categories}
    for n, stem in enumerate(STEMS):
        save(root / f"images/{stem}.jpg", image(n))
        content["images"].append({"id": n, "file_name": f"{stem}.jpg", "height": HEIGHT, "width": WIDTH})
        for class_id, shape in shapes(n) if shapes else ():
            content["annotations"].append(
                {
                    "id": len(content["annotations"]),
                    "image_id": n,
                    "category_id": {1: 1, 2: 7}[class_id],
                    "segmentation": shape,
                    "iscrowd": int(isinstance(shape, dict)),
                }
            )
    write(root / "annotations/instances.json", content)
    return NAMES, False


def coco_polygons(root):
    return coco(root, lambda n: [(c, [[v for point in points for v in point]]) for c, points in outlines(n)])


def coco_rle(root):
    from pycocotools import mask as masks

    def shapes(number):
        for class_id in (1, 2):
            packed = masks.encode(np.asfortranarray(mask(number, False) == class_id).astype(np.uint8))
            yield class_id, {"size": list(SIZE), "counts": packed["counts"].decode()}

    return coco(root, shapes)


def coco_panoptic(root):
    content = {"images": [], "annotations": [], "categories": [{"id": 3 + n, "name": NAMES[n]} for n in range(3)]}
    numbers = np.zeros(256, np.int64)
    numbers[:3] = 70000, 300, 5
    for n, stem in enumerate(STEMS):
        split = "train" if n < 4 else "val"
        segments = numbers[mask(n)]
        save(root / f"{split}2017/{stem}.jpg", image(n))
        color = np.stack([segments & 255, segments >> 8 & 255, segments >> 16], axis=2).astype(np.uint8)
        save(root / f"annotations/panoptic_{split}2017/{stem}.png", color)
        infos = [{"id": int(numbers[c]), "category_id": 3 + c, "iscrowd": 0} for c in range(3) if (mask(n) == c).any()]
        content["images"].append({"id": n, "file_name": f"{stem}.jpg", "height": HEIGHT, "width": WIDTH})
        content["annotations"].append({"image_id": n, "file_name": f"{stem}.png", "segments_info": infos})
        if n in (3, 5):
            write(root / f"annotations/panoptic_{split}2017.json", content)
            content = {**content, "images": [], "annotations": []}
    return NAMES, True


def png_text(array, deflated=False):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return base64.b64encode(zlib.compress(stream.getvalue()) if deflated else stream.getvalue()).decode()


def labelme(root):
    for n, stem in enumerate(STEMS):
        save(root / f"{stem}.jpg", image(n))
        shapes = [
            {"label": NAMES[c], "points": points, "shape_type": "polygon", "group_id": None}
            for c, points in outlines(n)
        ]
        content = {"version": "5.4.1", "shapes": shapes, "imagePath": f"{stem}.jpg", "imageData": None}
        write(root / f"{stem}.json", {**content, "imageHeight": HEIGHT, "imageWidth": WIDTH})
    return NAMES, False


def labelme_masks(root):
    labelme(root)
    for n, stem in enumerate(STEMS):
        content = json.loads((root / f"{stem}.json").read_text(encoding="utf-8"))
        content["shapes"] = []
        for class_id, name in ((1, NAMES[1]), (2, NAMES[2]), (255, "__ignore__")):
            rows, columns = np.nonzero(mask(n) == class_id)
            low, high = (int(columns.min()), int(rows.min())), (int(columns.max()), int(rows.max()))
            part = (mask(n) == class_id)[low[1] : high[1] + 1, low[0] : high[0] + 1]
            content["shapes"].append(
                {"label": name, "points": [low, high], "shape_type": "mask", "mask": png_text(part)}
            )
        write(root / f"{stem}.json", content)
    return NAMES, True


def brush_code(label):
    """As label_studio_sdk.converter.brush.encode_rle writes it: words of 8 bits, runs of 3, 4, 8 or 16."""
    values = np.repeat(label.ravel(), 4)
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    ends = np.flatnonzero(np.append(np.diff(values.astype(int)) != 0, True)) + 1
    for begin, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        for start in range(begin, end, 2**16):
            bits += f"111{min(end - start, 2**16) - 1:016b}{values[begin]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def label_studio(root, brush=False):
    tasks = []
    for n, stem in enumerate(STEMS):
        save(root / f"images/{n:08x}-{stem}.jpg", image(n))
        results = []
        for class_id, points in outlines(n):
            value = {
                "points": [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points],
                "polygonlabels": [NAMES[class_id]],
            }
            if brush:
                code = brush_code(np.where(mask(n, False) == class_id, 255, 0).astype(np.uint8))
                value = {"format": "rle", "rle": code, "brushlabels": [NAMES[class_id]]}
            kind = "brushlabels" if brush else "polygonlabels"
            size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
            results.append({"id": f"r{class_id}", "type": kind, **size, "value": value})
        done = {"id": n, "result": results, "was_cancelled": False, "ground_truth": False}
        tasks.append({"id": n + 1, "data": {"image": f"/data/upload/1/{n:08x}-{stem}.jpg"}, "annotations": [done]})
    write(root / "project-1.json", tasks)
    return NAMES, False


def label_studio_brush(root):
    return label_studio(root, brush=True)


def cvat(root, masks=False):
    labels = "".join(f"<label><name>{name}</name><color>#fa3253</color></label>" for name in NAMES[1:])
    text = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    text += f"<meta><task><labels>{labels}</labels></task></meta>\n"
    for n, stem in enumerate(STEMS):
        save(root / f"images/{stem}.jpg", image(n))
        text += f'<image id="{n}" name="{stem}.jpg" width="{WIDTH}" height="{HEIGHT}">\n'
        for order, (class_id, points) in reversed(list(enumerate(outlines(n)))):
            if masks:
                part = (mask(n, False) == class_id).astype(int)
                ends = np.flatnonzero(np.append(np.diff(part.ravel()) != 0, True)) + 1
                runs = ([0] if part.flat[0] else []) + np.diff(np.append(0, ends)).tolist()
                shape = f'mask rle="{", ".join(map(str, runs))}" left="0" top="0" width="{WIDTH}" height="{HEIGHT}"'
            else:
                shape = f'polygon points="{";".join(f"{x},{y}" for x, y in points)}"'
            text += f'<{shape} label="{NAMES[class_id]}" occluded="0" z_order="{order}"/>\n'
        text += "</image>\n"
    write(root / "annotations.xml", text + "</annotations>\n")
    return NAMES, False


def cvat_masks(root):
    return cvat(root, masks=True)


def yolo(root):
    for n, stem in enumerate(STEMS):
        split = "train" if n < 4 else "valid"
        save(root / f"{split}/images/{stem}.jpg", image(n))
        lines = (
            f"{c - 1} " + " ".join(f"{x / WIDTH:.9f} {y / HEIGHT:.9f}" for x, y in points) for c, points in outlines(n)
        )
        write(root / f"{split}/labels/{stem}.txt", "\n".join(lines) + "\n")
    write(
        root / "data.yaml",
        f"train: ../train/images\nval: ../valid/images\n\nnc: 2\nnames: ['{NAMES[1]}', '{NAMES[2]}']\n",
    )
    return NAMES, False


def png_bytes(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def huggingface(root, arrow=False):
    import pyarrow
    import pyarrow.parquet

    cell = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    for split, numbers in (("train", range(4)), ("validation", range(4, COUNT))):
        columns = {
            "image": [{"bytes": png_bytes(image(n)), "path": f"{n}.png"} for n in numbers],
            "annotation": [{"bytes": png_bytes(mask(n)), "path": None} for n in numbers],
        }
        table = pyarrow.table({key: pyarrow.array(column, cell) for key, column in columns.items()})
        (root / ("data" if not arrow else split)).mkdir(parents=True, exist_ok=True)
        if arrow:
            with pyarrow.OSFile(str(root / split / "data-00000-of-00001.arrow"), "wb") as file:
                with pyarrow.ipc.new_stream(file, table.schema) as stream:
                    stream.write_table(table)
            write(root / split / "state.json", {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]})
        else:
            name = f"data/{split}-00000-of-00001.parquet"
            pyarrow.parquet.write_table(table, str(root / name), row_group_size=3)
    write(root / "id2label.json", {str(n): name for n, name in enumerate(NAMES)})
    return NAMES, True


def huggingface_saved(root):
    return huggingface(root, arrow=True)


def nnunet(root, apart=False):
    for n in range(COUNT):
        if apart:
            for channel in range(2):
                save(root / f"imagesTr/case_{n:03}_{channel:04}.png", image(n)[:, :, channel])
        else:
            save(root / f"imagesTr/case_{n:03}_0000.png", image(n))
        label = mask(n)
        label[label == 255] = 3
        save(root / f"labelsTr/case_{n:03}.png", label)
        if not apart and n < 2:
            save(root / f"imagesTs/test_{n:03}_0000.png", image(n))
            save(root / f"labelsTs/test_{n:03}.png", label)
    channels = {"0": "one", "1": "two"} if apart else {"0": "R", "1": "G", "2": "B"}
    labels = {**{name: n for n, name in enumerate(NAMES)}, "ignore": 3}
    write(
        root / "dataset.json",
        {"channel_names": channels, "labels": labels, "numTraining": COUNT, "file_ending": ".png"},
    )
    return NAMES, True


def nnunet_regions(root):
    """Labels 1 and 2 united as "whole", 2 alone as "core", in an order of their own; 3 is ignored."""
    nnunet(root)
    content = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    content |= {"labels": {"background": 0, "core": 2, "whole": [1, 2], "ignore": 3}, "regions_class_order": [2, 1]}
    write(root / "dataset.json", content)


def nnunet_channels(root):
    return nnunet(root, apart=True)


def masks_beside(root):
    for n, stem in enumerate(STEMS):
        split = "train" if n < 4 else "valid"
        save(root / f"{split}/{stem}.jpg", image(n))
        save(root / f"{split}/{stem}_mask.png", mask(n, False))
        write(
            root / f"{split}/_classes.csv", "Pixel Value, Class\n" + "".join(f"{i}, {c}\n" for i, c in enumerate(NAMES))
        )
    return NAMES, False


def supervisely(root):
    write(root / "meta.json", {"classes": [{"title": name, "shape": "bitmap"} for name in NAMES[1:]]})
    for n, stem in enumerate(STEMS):
        save(root / f"ds/img/{stem}.jpg", image(n))
        things = [
            {
                "classTitle": NAMES[c],
                "geometryType": "bitmap",
                "bitmap": {"data": png_text((mask(n, False) == c).astype(np.uint8) * 255, True), "origin": [0, 0]},
            }
            for c in (1, 2)
        ]
        write(root / f"ds/ann/{stem}.jpg.json", {"size": {"height": HEIGHT, "width": WIDTH}, "objects": things})
    return NAMES, False


def via(root):
    content = {}
    for n, stem in enumerate(STEMS):
        save(root / f"{stem}.jpg", image(n))
        regions = [
            {
                "shape_attributes": {
                    "name": "polygon",
                    "all_points_x": [p[0] for p in q],
                    "all_points_y": [p[1] for p in q],
                },
                "region_attributes": {"class": NAMES[c]},
            }
            for c, q in outlines(n)
        ]
        content[f"{stem}.jpg123"] = {"filename": f"{stem}.jpg", "size": 123, "regions": regions}
    write(root / "via_region_data.json", content)
    return NAMES, False


def colored_folder(root):
    for n, stem in enumerate(STEMS):
        save(root / f"images/{stem}.jpg", image(n))
        save(root / f"masks/{stem}.png", COLORS[mask(n)])
    rows = [*(f"{COLORS[n][0]} {COLORS[n][1]} {COLORS[n][2]}\t{name}" for n, name in enumerate(NAMES)), "0 0 0\tVoid"]
    write(root / "label_colors.txt", "\n".join(rows) + "\n")
    return NAMES, True


FOLDERS = {
    "voc": voc,
    "cvat_voc": cvat_voc,
    "camvid": camvid,
    "segnet": segnet,
    "fastai": fastai,
    "coco_stuff": coco_stuff,
    "cityscapes": cityscapes,
    "cityscapes_train": cityscapes_train,
    "ade20k": ade20k,
    "ade20k_full": ade20k_full,
    "ade20k_counted": ade20k_counted,
    "coco": coco_polygons,
    "coco_rle": coco_rle,
    "coco_panoptic": coco_panoptic,
    "labelme": labelme,
    "labelme_masks": labelme_masks,
    "label_studio": label_studio,
    "label_studio_brush": label_studio_brush,
    "cvat": cvat,
    "cvat_masks": cvat_masks,
    "yolo": yolo,
    "huggingface": huggingface,
    "huggingface_saved": huggingface_saved,
    "nnunet": nnunet,
    "nnunet_channels": nnunet_channels,
    "masks_beside": masks_beside,
    "supervisely": supervisely,
    "via": via,
    "colored_folder": colored_folder,
}

# What the outlines cover as OpenCV 4.12 fills them, packed: `cv2.fillPoly` of the corners cut to whole numbers.
CV2_ROWS = (
    "c-p1XQ4YW$2m?^){SQ6k5*4Jtvi|xc1Q7Wa@F#sU3{V)w%=!@`z$i<dITbfsIRhKtRb-|r%}@<<&PzE$qtHg}I-2&wOt7+RK9#wbA8u7LliiTJ3}J=z$JG~k0PaKr-v",
    "c-p1XSrWh?2m?^a{SVzmyMQs+X?}f<OECKuh&6990F`kZxi%<st3(3{YHl8-OjoAOsY<h};bkCMF)!r{NSOMt`qHej{6Cc$%crf<`ACiO8H$rJHU4MnbvDSx0?P",
    "c-p1XQ4YW$2m?^;{SQ5}86#K=W_+3Wf(B}KS5TMjD*zP(jI%UT1?tVJwno6Flo`sjc~xq<Di}AfqgmD2pwK9PEdMmySe#F0$nt}s`C#b~h6Tf$_AB+W9-*KDw*",
    "c-pPfQ4YW$2m?^){SUpxXjBG;Mf>ZE8mP#>fSzg#fQkXMhncC2+{~&zW+L}RYq}C{no7;93TB^IWL6a$T)8LzkGC*2^I=;ZbLPgahu4lm%VMKvt!H@vd}sos",
    "c-p1XQ4YW$2m?^){SQ5t86!vmv;O*`1}btF<j493K*s<&L(GSk@^Ux3;wFC4o2i2T7=(@)s$uNBm@$ePG)#SuNM(|Rt@%_Y*u67hJ&Yk0(z9jU=+D+Cc>q*}0+0",
    "c-pPfQ4YW$2m?^t`yYCm7zYA^+4}2?A<)+D!sH!2BvUgGF>^AnGEx|+tXYT^GnF%sLadms3TE3^V3Z0CfB7e$$Gev%=C1CZ&&I8XGC_re0WyQHt&j5nCe;Fa",
)


def expected(name, number):
    """The label of picture `number` in a folder of a format."""
    if name in ("coco", "label_studio", "cvat"):
        return by_coco(number, shares=name == "label_studio")
    if name in ("labelme", "via"):
        return by_pillow(number)
    if name == "yolo":
        return np.frombuffer(zlib.decompress(base64.b85decode(CV2_ROWS[number])), np.uint8).reshape(SIZE)
    return mask(number, void=name not in _WITHOUT_VOID)


# Picture 2 in each folder, and the file that holds its mask or outlines.
IMAGE = {
    "voc": "JPEGImages/{}.jpg",
    "cvat_voc": "JPEGImages/{}.png",
    "camvid": "train/{}.png",
    "segnet": "train/0001TP_000002.png",
    "cityscapes": "leftImg8bit/train/aachen/aachen_000002_000019_leftImg8bit.png",
    "cityscapes_train": "leftImg8bit/train/aachen/aachen_000002_000019_leftImg8bit.png",
    "ade20k": "images/training/ADE_train_00000002.jpg",
    "ade20k_full": "images/ADE/training/urban/street/ADE_train_00000002.jpg",
    "coco": "images/{}.jpg",
    "coco_rle": "images/{}.jpg",
    "coco_panoptic": "train2017/{}.jpg",
    "labelme": "{}.jpg",
    "labelme_masks": "{}.jpg",
    "label_studio": "images/00000002-{}.jpg",
    "label_studio_brush": "images/00000002-{}.jpg",
    "cvat": "images/{}.jpg",
    "cvat_masks": "images/{}.jpg",
    "yolo": "train/images/{}.jpg",
    "nnunet": "imagesTr/case_002_0000.png",
    "nnunet_channels": "imagesTr/case_002_0001.png",
    "masks_beside": "train/{}.jpg",
    "supervisely": "ds/img/{}.jpg",
    "via": "{}.jpg",
    "colored_folder": "images/{}.jpg",
}
ANNOTATION = {
    "voc": "SegmentationClass/{}.png",
    "cvat_voc": "SegmentationClass/{}.png",
    "camvid": "train_labels/{}_L.png",
    "segnet": "trainannot/0001TP_000002.png",
    "cityscapes": "gtFine/train/aachen/aachen_000002_000019_gtFine_labelIds.png",
    "cityscapes_train": "gtFine/train/aachen/aachen_000002_000019_gtFine_labelTrainIds.png",
    "ade20k": "annotations/training/ADE_train_00000002.png",
    "ade20k_full": "images/ADE/training/urban/street/ADE_train_00000002_seg.png",
    "coco": "annotations/instances.json",
    "coco_rle": "annotations/instances.json",
    "coco_panoptic": "annotations/panoptic_train2017/{}.png",
    "labelme": "{}.json",
    "labelme_masks": "{}.json",
    "label_studio": "project-1.json",
    "label_studio_brush": "project-1.json",
    "cvat": "annotations.xml",
    "cvat_masks": "annotations.xml",
    "yolo": "train/labels/{}.txt",
    "huggingface": "data/train-00000-of-00001.parquet",
    "huggingface_saved": "train/data-00000-of-00001.arrow",
    "nnunet": "labelsTr/case_002.png",
    "nnunet_channels": "labelsTr/case_002.png",
    "masks_beside": "train/{}_mask.png",
    "supervisely": "ds/ann/{}.jpg.json",
    "via": "via_region_data.json",
    "colored_folder": "masks/{}.png",
}
# Text files that only say what classes there are, or what is in which split.
TABLE = {
    "voc": "ImageSets/Segmentation/train.txt",
    "cvat_voc": "labelmap.txt",
    "camvid": "class_dict.csv",
    "ade20k": "objectInfo150.txt",
    "yolo": "data.yaml",
    "nnunet": "dataset.json",
    "masks_beside": "train/_classes.csv",
    "supervisely": "meta.json",
    "colored_folder": "label_colors.txt",
    "coco_panoptic": "annotations/panoptic_train2017.json",
    "huggingface": "id2label.json",
}

_WITHOUT_VOID = ("fastai", "coco_rle", "label_studio_brush", "cvat_masks", "masks_beside", "supervisely")


def number_of(name):
    """The picture of an example by its name, as the program calls it: the last digits of the stem or of the row."""
    import re

    stem = os.path.splitext(name.rsplit("/", 1)[-1])[0]
    if "[" in name:
        return int(name.rsplit("[", 1)[1][:-1]) + (4 if "validation" in name else 0)
    found = re.search(r"pic (\d)|_(\d{6})_0000|ADE_\w+_(\d{8})|case_(\d{3})|0001TP_(\d{6})", stem)
    return int(next(part for part in found.groups() if part is not None))
