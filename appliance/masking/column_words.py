"""What a column's name says about what is in it. Pure; English and a few neighbours."""

from __future__ import annotations

import re

from appliance.masking.sensitive import (
    ADDRESSES,
    DATES,
    INTEGERS,
    JSONS,
    TEXTS,
    ColumnFacts,
    Confidence,
    Finding,
    Kind,
)

_SPLIT = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")


def _hints(text: str) -> tuple[str, ...]:
    return tuple(hint.strip() for hint in text.split(",") if hint.strip())


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# kind -> what a name may hold, as words: what is hard to misread, and what may be something else.
_WORDS: dict[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Kind.CARD: (
        _hints(
            "card number, card no, card num, cardnumber, credit card, creditcard, cc number, "
            "cc num, ccnumber, kreditkarte, kartennummer, kortnummer, numero carte, numero "
            "tarjeta"
        ),
        _hints("pan, card, ccn, cvv, cvc"),
    ),
    Kind.EMAIL: (
        _hints("email, e mail, emails, mail address, correo, epost"),
        _hints("mail"),
    ),
    Kind.PHONE: (
        _hints(
            "phone, phones, phone number, mobile, cell phone, cellphone, telephone, telefon, "
            "telefono, mobilnummer, handynummer, msisdn, fax"
        ),
        _hints("tel, cell, gsm"),
    ),
    Kind.IBAN: (
        _hints("iban, bank account, bankaccount, account iban, kontonummer, bankkonto"),
        _hints("account number, account no, routing number, sort code, bban"),
    ),
    Kind.NATIONAL_ID: (
        _hints(
            "ssn, social security, social security number, national id, nationalid, national "
            "identifier, nino, ni number, bsn, personnummer, personnr, fodselsnummer, "
            "fødselsnummer, fnr, cpf, curp, pesel, cpr, hetu, aadhaar, nhs number, tax id, "
            "taxid, tax number, tin number, steuer id, steuernummer, codice fiscale, "
            "passport, passport number, passport no, passport id, driver license, drivers "
            "license, driving licence, identity card number, id card number"
        ),
        _hints("nin, dni, nie, rut, personal number, id number, sin"),
    ),
    Kind.BIRTH: (
        _hints(
            "birth date, birthdate, date birth, date of birth, dob, birthday, birth day, born "
            "on, born at, geburtsdatum, geburtstag, fodselsdato, fødselsdato, date naissance, "
            "date de naissance, fecha nacimiento, fecha de nacimiento, birth year, year of "
            "birth"
        ),
        _hints("born, birth"),
    ),
    Kind.NAME: (
        _hints(
            "first name, firstname, last name, lastname, full name, fullname, middle name, "
            "given name, givenname, family name, familyname, maiden name, surname, forename, "
            "vorname, nachname, fornavn, etternavn, fornamn, efternamn, customer name, "
            "patient name, employee name, contact name, cardholder, card holder, card holder "
            "name, account holder, prenom, apellido, apellidos"
        ),
        _hints("fname, lname, holder name, owner name, recipient name"),
    ),
    Kind.ADDRESS: (
        _hints(
            "street, street address, home address, postal address, mailing address, billing "
            "address, shipping address, delivery address, address line, address 1, address 2, "
            "address line 1, address line 2, strasse, straße, anschrift, domicilio, "
            "direccion, gateadresse"
        ),
        _hints("address, addr, adresse, adress"),
    ),
    Kind.SECRET: (
        _hints(
            "password, passwd, passwort, passord, password hash, password digest, password "
            "salt, encrypted password, hashed password, pwd, passphrase, secret, secret key, "
            "client secret, api key, apikey, api token, access token, refresh token, auth "
            "token, bearer token, reset token, session token, remember token, csrf token, id "
            "token, oauth token, private key, encryption key, access key, signing key, "
            "webhook secret, otp secret, totp secret, recovery code, recovery codes, pin "
            "code, security answer"
        ),
        _hints("token, pass, pin, salt, hash password, cookie, session key"),
    ),
    Kind.IP: (
        _hints(
            "ip, ip address, ipaddress, ip addr, ipaddr, client ip, remote ip, remote addr, "
            "remote address, source ip, last login ip, sign in ip"
        ),
        _hints(""),
    ),
}
# What a name is about rather than the thing itself, when such a word follows it.
_ABOUT = _set(
    "active algo algorithm at attempt attempts body bounce bounced brand by campaign category "
    "changed class clicked code confirmed consent count country counts created date days "
    "disabled domain enabled expiration expired expires expiry failed failures flag flags "
    "format frequency has id ids in is issuer kind label lang language length limit list "
    "lists locale model modified month network notification notifications on opened opt optin "
    "order os out policy preference preferences prefix primary provider public rank rate "
    "ratio ref required reset scheme score seconds sent size state status subject template "
    "templates time timestamp total type updated usage used valid validated verified version "
    "visible year"
)
# What comes before such a word and makes it something else.
_NOT_BEFORE: dict[Kind, frozenset[str]] = {
    Kind.ADDRESS: _set(
        "bitcoin contract crypto email eth host ip mac mail memory network remote server site "
        "url wallet web"
    ),
    Kind.SECRET: _set("completion input max min num output prompt total two used"),
    Kind.CARD: _set(
        "business gift graphics id identity kanban library loyalty member membership post "
        "report score sd sim trello video wild"
    ),
    Kind.PHONE: _set("head is"),
}
_PEOPLE = _set(
    "accountholder accountholders agent agents ansatte applicant applicants beneficiaries "
    "beneficiary candidate candidates citizen citizens client clients contact contacts "
    "customer customers doctor doctors donor donors driver drivers employee employees guest "
    "guests holder holders kunde kunden lead leads member members passenger passengers "
    "patient patients people person personer persons profile profiles resident residents "
    "staff student students subscriber subscribers teacher teachers tenant user users voter "
    "voters"
)
_TYPES: dict[Kind, frozenset[str]] = {
    Kind.CARD: TEXTS | INTEGERS,
    Kind.EMAIL: TEXTS,
    Kind.PHONE: TEXTS | INTEGERS,
    Kind.IBAN: TEXTS | INTEGERS,
    Kind.NATIONAL_ID: TEXTS | INTEGERS,
    Kind.BIRTH: TEXTS | DATES | frozenset({"int4", "int2"}),
    Kind.NAME: TEXTS,
    Kind.ADDRESS: TEXTS | JSONS,
    Kind.SECRET: TEXTS | JSONS | frozenset({"bytea", "uuid"}),
    Kind.IP: TEXTS | ADDRESSES,
}
_NOT_FIRST = frozenset(("is", "has", "num", "count"))
_ARTICLE = {"e-mail address": "an", "IP address": "an"}


def _by_first_word() -> dict[str, list[tuple[tuple[str, ...], Kind, Confidence]]]:
    found: dict[str, list[tuple[tuple[str, ...], Kind, Confidence]]] = {}
    for kind, lists in _WORDS.items():
        for confidence, hints in zip((Confidence.MEDIUM, Confidence.LOW), lists, strict=True):
            for hint in hints:
                parts = tuple(hint.split())
                found.setdefault(parts[0], []).append((parts, kind, confidence))
    return found


_BY_FIRST_WORD = _by_first_word()


def words_of(name: str) -> list[str]:
    """Split a name into its words: ``dateOfBirth``, ``DATE_OF_BIRTH`` -> date, of, birth."""
    return [word.lower() for word in _SPLIT.findall(name)]


def by_name(column: ColumnFacts) -> Finding | None:
    """Return what the name says, where the type can hold it; None = nothing."""
    words = words_of(column.name)
    if not words or words[0] in _NOT_FIRST:
        return None
    found: tuple[int, Finding] | None = None
    for start, word in enumerate(words):
        for parts, kind, confidence in _BY_FIRST_WORD.get(word, ()):
            size = sum(map(len, parts))  # the hint that explains most of the name wins
            if column.element not in _TYPES[kind] or (found is not None and size <= found[0]):
                continue
            if _holds(words, start, parts, kind):
                found = size, Finding(kind, confidence, _named(kind))
    return _persons_name(column, words) if found is None else found[1]


def _holds(words: list[str], start: int, parts: tuple[str, ...], kind: Kind) -> bool:
    end = start + len(parts)
    if tuple(words[start:end]) != parts or any(word in _ABOUT for word in words[end:]):
        return False
    return not start or words[start - 1] not in _NOT_BEFORE.get(kind, ())


def _persons_name(column: ColumnFacts, words: list[str]) -> Finding | None:
    """Return whether a bare ``name`` stands in a table of people."""
    if words != ["name"] or column.element not in TEXTS:
        return None
    if not _PEOPLE.intersection(words_of(column.table)):
        return None
    evidence = f"called name, in a table of people ({column.table.rpartition('.')[2]})"
    return Finding(Kind.NAME, Confidence.MEDIUM, evidence)


def _named(kind: Kind) -> str:
    return f"named like {_ARTICLE.get(kind.value, 'a')} {kind.value}"
