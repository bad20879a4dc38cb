"""Files of molecules: XYZ by our own reader, SDF, PDB and SMILES by RDKit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unfog.errors import InputError, MissingExtra
from unfog.files.output import write_text
from unfog.files.text import read_text
from unfog.molecules.bonds import bond_orders
from unfog.molecules.molecule import NUMBERS, Molecule

log = logging.getLogger(__name__)


def rdkit() -> Any:
    """RDKit's Chem, its own messages silenced; ``MissingExtra`` where it is not installed."""
    try:
        from rdkit import Chem, RDLogger
    except ImportError as error:
        raise MissingExtra("molecules", "rdkit") from error
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    return Chem


def read_molecules(path: Path, skip_broken: bool = False) -> list[Molecule]:
    """The molecules of a file, or of all such files below a folder.

    Args:
        path: .xyz (one or many), .sdf (one or many), .pdb (a ligand), .smi (a SMILES a line, given
            a shape by RDKit), or a folder.
        skip_broken: Whether records that cannot be read are left out, and said.

    Returns:
        The molecules, in the files' order.

    Raises:
        InputError: There is no such file, or a record cannot be read, has no coordinates, or a
            flat drawing's.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in READERS)
        if not files:
            raise InputError(f"There is no molecule in {path}; it takes {', '.join(READERS)}.")
        return [m for file in files for m in read_molecules(file, skip_broken)]
    read = READERS.get(path.suffix.lower())
    if read is None or not path.is_file():
        raise InputError(f"{path} is no file of molecules; give {', '.join(READERS)}.")
    molecules, broken = list[Molecule](), list[str]()
    for number, record in enumerate(read(path), 1):
        try:
            molecules.append(record())
        except InputError as error:
            if not skip_broken:
                raise InputError(
                    f"Record {number} of {path.name} cannot be read: {error} Mend it, or give "
                    "--skip-broken."
                ) from error
            broken.append(str(number))
    if broken:
        log.warning("%s: %d records left out: %s.", path.name, len(broken), ", ".join(broken[:10]))
    if not molecules:
        raise InputError(f"{path.name} holds no molecule that can be read; give another file.")
    return molecules


Record = Callable[[], Molecule]


def _xyz(path: Path) -> list[Record]:
    """The records of an XYZ file: a count, a comment, and a line an atom. QM9's own files have
    exponents such as 1.2*^-6, a charge behind the places, and lines behind the atoms.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} is no text; give an XYZ file.") from error
    records, place = list[Record](), 0
    while place < len(lines):
        first = lines[place].split()
        if len(first) != 1 or not first[0].isdigit():
            if records:  # what follows QM9's atoms, or blank lines
                place += 1
                continue
            raise InputError(f"{path.name} does not begin with the number of its atoms.")
        count, comment = int(first[0]), lines[place + 1 : place + 2]
        atoms = lines[place + 2 : place + 2 + count]
        name = (comment or [""])[0].strip()[:80]
        records.append(partial(_atoms, atoms, count, name))
        place += 2 + count
    return records


def _atoms(lines: Sequence[str], count: int, name: str) -> Molecule:
    """The molecule of an XYZ record's lines."""
    if len(lines) < count:
        raise InputError(f"it says {count} atoms and has {len(lines)}.")
    symbols, places = list[str](), list[list[float]]()
    for line in lines:
        words = line.replace("*^", "e").split()
        try:
            places.append([float(word) for word in words[1:4]])
        except ValueError as error:
            raise InputError(f"the line {line.strip()!r} is no atom.") from error
        if len(places[-1]) < 3:
            raise InputError(f"the line {line.strip()!r} is no atom.")
        symbols.append(words[0].capitalize())
    return _molecule(symbols, np.array(places), name)


def _molecule(symbols: Sequence[str], positions: Any, name: str) -> Molecule:
    """A molecule, its elements known and not all in one plane of a drawing."""
    for symbol in symbols:
        if symbol not in NUMBERS:
            raise InputError(f"it has the element {symbol}; known are {', '.join(NUMBERS)}.")
    positions = np.asarray(positions, dtype=np.float64)
    if len(symbols) > 3 and not positions[:, 2].any():
        raise InputError("it is flat, a drawing and no shape; give coordinates in space.")
    return Molecule(np.array([NUMBERS[s] for s in symbols]), positions, name)


def _of_rdkit(found: Any, name: str) -> Molecule:
    """The molecule of RDKit's."""
    if found is None:
        raise InputError("RDKit does not take it.")
    if not found.GetNumConformers() or not found.GetNumAtoms():
        raise InputError("it has no coordinates.")
    if charge := sum(atom.GetFormalCharge() for atom in found.GetAtoms()):
        raise InputError(f"it has a charge of {charge:+d}, and molecules here are neutral.")
    if any(atom.GetNumRadicalElectrons() for atom in found.GetAtoms()):
        raise InputError("it is a radical, and molecules here have closed shells.")
    symbols = [atom.GetSymbol() for atom in found.GetAtoms()]
    return _molecule(symbols, found.GetConformer().GetPositions(), name)


def _sdf(path: Path) -> list[Record]:
    """The records of an SDF file, hydrogens kept. What bonds it states does not matter, since
    places and elements alone are read, so a molecule that no chemistry allows is read as well.
    """
    found = rdkit().SDMolSupplier(str(path), removeHs=False, sanitize=False)

    def record(k: int) -> Molecule:
        one = found[k]
        named = one is not None and one.HasProp("_Name")
        return _of_rdkit(one, one.GetProp("_Name") if named else "")

    return [partial(record, k) for k in range(len(found))]


def _pdb(path: Path) -> list[Record]:
    """The ligand of a PDB file."""
    return [lambda: _of_rdkit(rdkit().MolFromPDBFile(str(path), removeHs=False), path.stem)]


def _smiles(path: Path) -> list[Record]:
    """A SMILES a line, a shape made by RDKit's distance geometry, hydrogens added."""
    chem = rdkit()
    from rdkit.Chem import AllChem

    def record(text: str) -> Molecule:
        found = chem.MolFromSmiles(text)
        if found is not None:
            found = chem.AddHs(found)
            AllChem.EmbedMolecule(found, randomSeed=0)  # type: ignore[attr-defined]
        return _of_rdkit(found, text)

    lines = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
    return [partial(record, text) for text in lines]


READERS: dict[str, Callable[[Path], list[Record]]] = {
    ".xyz": _xyz,
    ".sdf": _sdf,
    ".mol": _sdf,
    ".pdb": _pdb,
    ".smi": _smiles,
}


def to_rdkit(molecule: Molecule) -> Any:
    """RDKit's molecule with bonds by distance (``bond_orders``), sanitised; None where it takes
    the bonds for impossible.
    """
    chem = rdkit()
    kinds = {1: chem.BondType.SINGLE, 2: chem.BondType.DOUBLE, 3: chem.BondType.TRIPLE}
    made = chem.RWMol()
    for symbol in molecule.symbols:
        made.AddAtom(chem.Atom(symbol))
    orders = bond_orders(molecule)
    for a, b in zip(*np.nonzero(np.triu(orders)), strict=True):
        made.AddBond(int(a), int(b), kinds[int(orders[a, b])])
    shape = chem.Conformer(len(molecule))
    shape.SetPositions(molecule.positions.astype(np.float64))
    made.AddConformer(shape)
    made.SetProp("_Name", molecule.name)
    try:
        chem.SanitizeMol(made)
    except (ValueError, RuntimeError):
        return None
    return made.GetMol()


def write_sdf(path: Path, molecules: Sequence[Molecule]) -> None:
    """Molecules with their bonds into an SDF file."""
    write_text(path, "".join(f"{sdf_block(molecule)}$$$$\n" for molecule in molecules))


def sdf_block(molecule: Molecule) -> str:
    """A molecule's record with its bonds; of one that RDKit takes for impossible with the same
    bonds, unsanitised.
    """
    found = to_rdkit(molecule)
    return _raw_block(molecule) if found is None else str(rdkit().MolToMolBlock(found))


def _raw_block(molecule: Molecule) -> str:
    """A V2000 record of a molecule whose bonds no chemistry allows."""
    orders = bond_orders(molecule)
    bonds = [(a, b) for a, b in zip(*np.nonzero(np.triu(orders)), strict=True)]
    atoms = "".join(
        f"{x:10.4f}{y:10.4f}{z:10.4f} {symbol:<3} 0  0\n"
        for symbol, (x, y, z) in zip(molecule.symbols, molecule.positions, strict=True)
    )
    lines = "".join(f"{a + 1:3d}{b + 1:3d}{orders[a, b]:3d}  0\n" for a, b in bonds)
    counts = f"{len(molecule):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000\n"
    return f"{molecule.name}\n  unfog\n\n{counts}{atoms}{lines}M  END\n"


def write_xyz(path: Path, molecules: Sequence[Molecule]) -> None:
    """Molecules into an XYZ file, one after the other."""
    write_text(path, "".join(xyz_of(molecule) for molecule in molecules))


def xyz_of(molecule: Molecule) -> str:
    """A molecule as the text of an XYZ record."""
    rows = zip(molecule.symbols, molecule.positions, strict=True)
    atoms = "".join(f"{s} {x:.6f} {y:.6f} {z:.6f}\n" for s, (x, y, z) in rows)
    return f"{len(molecule)}\n{molecule.name}\n{atoms}"
