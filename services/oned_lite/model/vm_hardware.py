"""Checks of the parts of a VM template that only the hypervisor cares about: OS, RAW, PCI, GRAPHICS, VIDEO."""

from __future__ import annotations

import re

from services.common.template import Template, Vector

RAW_TYPES = ("kvm", "lxc", "vcenter", "firecracker", "vmware", "xen", "qemu")
VIDEO_TYPES = ("none", "vga", "cirrus", "virtio")
PORT_MAX = 65535
VRAM_MIN = 1024
VNC_PASSWORD_CHARS_MAX = 8
SPICE_PASSWORD_CHARS_MAX = 60
_RESOLUTION = re.compile(r"\d+x\d+")
_BOOT_DEVICE = re.compile(r"(disk|nic)(\d+)")
_HEX = re.compile(r"(0x)?[0-9a-fA-F]+")


# ---------------------------------------------------------------------- OS
def os_fault(template: Template) -> str | None:
    return "Only one OS attribute can be defined." if len(template.vectors("OS")) > 1 else None


def with_uuid(template: Template, uuid: str) -> Template:
    """A VM has a UUID even where its template has no OS."""
    os = template.vector("OS") or Vector()
    return template if os.get("UUID") else template.with_set("OS", os.with_set("UUID", uuid))


def boot_fault(template: Template) -> str | None:
    """OS/BOOT lists disks and NICs that are there."""
    for kind, number in boot_order(template):
        if kind is None:
            return f'Wrong OS/BOOT value: "{number}" should be a comma-separated list of disk# or nic#'
        key = "DISK_ID" if kind == "disk" else "NIC_ID"
        if all(vector.get(key) != number for vector in template.vectors(kind.upper())):
            return f"Wrong OS/BOOT value. Device with {key} {number} not found"
    return None


def boot_order(template: Template) -> list[tuple[str | None, str]]:
    """("disk", "0"), ("nic", "1") …; (None, text) for what is neither."""
    text = (template.vector("OS") or Vector()).get("BOOT")
    found: list[tuple[str | None, str]] = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        match = _BOOT_DEVICE.fullmatch(part.lower())
        found.append((match[1], match[2]) if match else (None, text))
    return found


def with_boot_order(template: Template) -> Template:
    """ORDER in the devices that OS/BOOT names, and in no other."""
    places = {device: str(place) for place, device in enumerate(boot_order(template), 1)}
    for name, kind, key in (("DISK", "disk", "DISK_ID"), ("NIC", "nic", "NIC_ID")):
        vectors = []
        for vector in template.vectors(name):
            place = places.get((kind, vector.get(key)))
            vectors.append(vector.without("ORDER") if place is None else vector.with_set("ORDER", place))
        template = template.with_set(name, *vectors) if vectors else template
    return template


# ---------------------------------------------------------------------- RAW, PCI
def raw_fault(template: Template) -> str | None:
    """RAW/DATA is checked against the hypervisor's schema; without one to check against only VALIDATE=NO passes."""
    for raw in template.vectors("RAW"):
        if raw.get_bool("VALIDATE", True) and raw.get("DATA"):
            return "Invalid RAW section: unsupported TYPE"
    return None


def pci_fault(template: Template) -> str | None:
    for pci in template.vectors("PCI"):
        if (found := pci_device_fault(pci)) is not None:
            return found
    return None


def pci_device_fault(pci: Vector) -> str | None:
    keys = [key for key in ("DEVICE", "VENDOR", "CLASS") if pci.get(key)]
    if pci.get("SHORT_ADDRESS"):
        return "SHORT_ADDRESS cannot be set with DEVICE, VENDOR or CLASS" if keys else None
    if not keys:
        return "SHORT_ADDRESS, DEVICE, VENDOR or CLASS must be defined for PCI."
    for key in keys:
        if not _HEX.fullmatch(pci.get(key)):
            return f"Wrong Hex value for PCI attribute {key}"
    return None


def with_pci_addresses(template: Template, bus: str) -> Template:
    """Numbers the devices and gives each a place on the VM's own bus."""
    devices = []
    for number, pci in enumerate(template.vectors("PCI")):
        devices.append(pci.merged(pci_address(number, bus)))
    return template.with_set("PCI", *devices) if devices else template


def pci_address(number: int, bus: str) -> dict[str, str]:
    slot = number + 1
    return {
        "PCI_ID": str(number),
        "VM_DOMAIN": "0x0000",
        "VM_BUS": bus,
        "VM_SLOT": f"0x{slot:02x}",
        "VM_FUNCTION": "0",
        "VM_ADDRESS": f"{int(bus, 16):02x}:{slot:02x}.0",
    }


# ---------------------------------------------------------------------- GRAPHICS, VIDEO
def graphics_fault(template: Template) -> str | None:
    graphics = template.vector("GRAPHICS")
    if graphics is None or not graphics.get("PORT"):
        return None
    port = graphics.get_int("PORT", -1)
    return None if 0 <= port <= PORT_MAX else "Wrong PORT number in GRAPHICS attribute"


def with_graphics(template: Template, random_password: str) -> Template:
    """Passwords as long as the protocol takes them; RANDOM_PASSWD makes one."""
    graphics = template.vector("GRAPHICS")
    if graphics is None:
        return template
    if graphics.get_bool("RANDOM_PASSWD", False) and not graphics.get("PASSWD"):
        graphics = graphics.with_set("PASSWD", random_password)
    limit = SPICE_PASSWORD_CHARS_MAX if graphics.get("TYPE").lower() == "spice" else VNC_PASSWORD_CHARS_MAX
    if graphics.get("PASSWD"):
        graphics = graphics.with_set("PASSWD", graphics.get("PASSWD")[:limit])
    return template.with_set("GRAPHICS", graphics)


def with_port(template: Template, oid: int, first: int) -> Template:
    """The display's port, chosen at deployment where the template names none."""
    graphics = template.vector("GRAPHICS")
    if graphics is None or graphics.get("PORT") or graphics.get("TYPE").lower() not in ("vnc", "spice"):
        return template
    port = first + oid % (PORT_MAX + 1 - first)
    return template.with_set("GRAPHICS", graphics.with_set("PORT", str(port)))


def video_fault(template: Template) -> str | None:
    video = template.vector("VIDEO")
    if video is None:
        return None
    kind = video.get("TYPE").lower()
    if not kind:
        return "Video TYPE is required"
    if kind not in VIDEO_TYPES:
        return f"Invalid video TYPE, should be either: {', '.join(VIDEO_TYPES[:-1])}, or {VIDEO_TYPES[-1]}"
    if kind != "virtio" and ("IOMMU" in video or "ATS" in video):
        return "IOMMU and ATS are only available for virtio TYPE"
    if "VRAM" in video and video.get_int("VRAM", 0) < VRAM_MIN:
        return "Invalid VRAM value in VIDEO attribute, must be >= 1024"
    if "RESOLUTION" in video and not _RESOLUTION.fullmatch(video.get("RESOLUTION")):
        return "Invalid RESOLUTION string format"
    return None


def with_video(template: Template) -> Template:
    video = template.vector("VIDEO")
    return template if video is None else template.with_set("VIDEO", video.with_set("TYPE", video.get("TYPE").lower()))
