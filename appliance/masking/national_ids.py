"""National ids by their check digits and dates: which country's the values of a column are.

What is checked how is python-stdnum's (https://arthurdejong.org/python-stdnum/). A form that one
in ten random numbers has is believed only of many values, or where the column's name says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import stdnum.at.vnr
import stdnum.au.tfn
import stdnum.be.nn
import stdnum.bg.egn
import stdnum.br.cpf
import stdnum.ca.sin
import stdnum.ch.ssn
import stdnum.cl.rut
import stdnum.cn.ric
import stdnum.cz.rc
import stdnum.de.idnr
import stdnum.dk.cpr
import stdnum.ee.ik
import stdnum.es.dni
import stdnum.es.nie
import stdnum.fi.hetu
import stdnum.fr.nir
import stdnum.gb.nhs
import stdnum.gr.amka
import stdnum.hr.oib
import stdnum.ie.pps
import stdnum.il.idnr
import stdnum.in_.aadhaar
import stdnum.in_.pan
import stdnum.is_.kennitala
import stdnum.it.codicefiscale
import stdnum.kr.rrn
import stdnum.mx.curp
import stdnum.nl.bsn
import stdnum.no.fodselsnummer
import stdnum.pl.pesel
import stdnum.pt.cc
import stdnum.ro.cnp
import stdnum.se.personnummer
import stdnum.tr.tckimlik
import stdnum.us.ssn
import stdnum.za.idnr

_LONGEST = 24  # characters of any of them, separators included
_DIGITS = re.compile(r"\d", re.ASCII)


class _Number(Protocol):
    def is_valid(self, number: str) -> bool: ...


class Strength(IntEnum):
    """How well a number's form tells it from others."""

    NONE = 0  # nearly any number of that length
    CHECK_DIGIT = 1  # one in ten or so
    FORM = 2


@dataclass(frozen=True, slots=True)
class NationalId:
    """One country's number."""

    title: str
    is_valid: Callable[[str], bool]
    form: re.Pattern[str]
    strength: Strength = Strength.FORM


@dataclass(frozen=True, slots=True)
class Found:
    """How many of the values are one country's number."""

    id: NationalId
    passed: int


def best(values: Sequence[str]) -> Found | None:
    """Return the number that most of the values are; None = none is any that is known."""
    values = [value for value in values if len(value) <= _LONGEST and _DIGITS.search(value)]
    if not values:
        return None
    found: Found | None = None
    for each in known():
        passed = sum(1 for value in values if _is_one(each, value))
        better = found is None or (passed, each.strength) > (found.passed, found.id.strength)
        if passed and better:
            found = Found(each, passed)
    return found


def _is_one(each: NationalId, value: str) -> bool:
    if not each.form.fullmatch(value):
        return False
    try:
        return each.is_valid(value)
    except LookupError:  # stdnum's table of Chinese places has gaps
        return False


def known() -> tuple[NationalId, ...]:
    """Return every number that is looked for."""
    return _KNOWN


def _digits(least: int, most: int | None = None) -> str:
    """Return the form of so many digits, with the separators that people write between them."""
    more = "" if most is None else f"{{0,{most - least}}}"
    return rf"\d(?:[ ./-]?\d){{{least - 1}}}" + (rf"(?:[ ./-]?\d){more}" if most else "")


def _entry(
    title: str, module: _Number, form: str, strength: Strength = Strength.FORM
) -> NationalId:
    return NationalId(title, module.is_valid, re.compile(form, re.ASCII), strength)


def _always(_: str) -> bool:
    return True


# The US number has no check digit: only its three groups tell it from any other nine digits.
_KNOWN: tuple[NationalId, ...] = (
    _entry("Norwegian fødselsnummer", stdnum.no.fodselsnummer, _digits(11)),
    _entry("Swedish personnummer", stdnum.se.personnummer, r"(?:\d\d)?\d{6}[-+]?\d{4}"),
    _entry("Danish CPR number", stdnum.dk.cpr, r"\d{6}-\d{4}"),
    _entry("Danish CPR number", stdnum.dk.cpr, r"\d{10}", Strength.CHECK_DIGIT),
    _entry("Finnish hetu", stdnum.fi.hetu, r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]"),
    _entry("Icelandic kennitala", stdnum.is_.kennitala, r"\d{6}-?\d{4}"),
    _entry("Dutch BSN", stdnum.nl.bsn, _digits(9), Strength.CHECK_DIGIT),
    _entry("Belgian national number", stdnum.be.nn, _digits(11)),
    _entry("German tax id", stdnum.de.idnr, _digits(11)),
    _entry("Austrian social security number", stdnum.at.vnr, _digits(10), Strength.CHECK_DIGIT),
    _entry("Swiss AHV number", stdnum.ch.ssn, r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d\d"),
    _entry("French NIR", stdnum.fr.nir, r"[12][ ]?\d\d(?:[ ]?[\dAB]){12}"),
    _entry("Italian codice fiscale", stdnum.it.codicefiscale, r"[A-Za-z]{6}[\dA-Za-z]{10}"),
    _entry("Spanish DNI", stdnum.es.dni, r"\d{8}[ -]?[A-Za-z]"),
    _entry("Spanish NIE", stdnum.es.nie, r"[XYZxyz][ -]?\d{7}[ -]?[A-Za-z]"),
    _entry("Portuguese citizen card number", stdnum.pt.cc, r"\d{8}[ ]?\d[ ]?[A-Z\d]{2}\d"),
    _entry("Polish PESEL", stdnum.pl.pesel, _digits(11)),
    _entry("Czech birth number", stdnum.cz.rc, r"\d{6}/\d{3,4}"),
    _entry("Romanian CNP", stdnum.ro.cnp, _digits(13)),
    _entry("Bulgarian EGN", stdnum.bg.egn, r"\d{10}"),
    _entry("Croatian OIB", stdnum.hr.oib, r"\d{11}", Strength.CHECK_DIGIT),
    _entry("Estonian personal code", stdnum.ee.ik, r"\d{11}"),
    _entry("Greek AMKA", stdnum.gr.amka, r"\d{11}"),
    _entry("Irish PPS number", stdnum.ie.pps, r"\d{7}[A-Wa-w][A-IWa-iw]?"),
    _entry("British NHS number", stdnum.gb.nhs, _digits(10), Strength.CHECK_DIGIT),
    NationalId(
        "British national insurance number",
        _always,
        re.compile(
            r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d\d){3} ?[A-D]"
        ),
    ),
    _entry("US social security number", stdnum.us.ssn, r"\d{3}-\d\d-\d{4}"),
    _entry("US social security number", stdnum.us.ssn, r"\d{9}", Strength.NONE),
    _entry("Canadian SIN", stdnum.ca.sin, r"\d{3}[ -]?\d{3}[ -]?\d{3}", Strength.CHECK_DIGIT),
    _entry("Mexican CURP", stdnum.mx.curp, r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z\d]\d"),
    _entry("Brazilian CPF", stdnum.br.cpf, r"\d{3}\.?\d{3}\.?\d{3}-?\d\d"),
    _entry("Chilean RUT", stdnum.cl.rut, r"\d{1,2}\.?\d{3}\.?\d{3}-[\dKk]"),
    _entry("South African id", stdnum.za.idnr, r"\d{13}"),
    _entry("Turkish id", stdnum.tr.tckimlik, r"\d{11}"),
    _entry("Israeli id", stdnum.il.idnr, r"\d{9}", Strength.CHECK_DIGIT),
    _entry(
        "Indian Aadhaar number", stdnum.in_.aadhaar, r"\d{4} ?\d{4} ?\d{4}", Strength.CHECK_DIGIT
    ),
    _entry("Indian PAN", stdnum.in_.pan, r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]"),
    _entry("Chinese resident id", stdnum.cn.ric, r"\d{17}[\dXx]"),
    _entry("South Korean resident number", stdnum.kr.rrn, r"\d{6}-?\d{7}"),
    _entry(
        "Australian tax file number", stdnum.au.tfn, r"\d{3} ?\d{3} ?\d{2,3}", Strength.CHECK_DIGIT
    ),
)
