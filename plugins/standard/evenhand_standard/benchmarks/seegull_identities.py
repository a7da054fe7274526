"""The identities of SeeGULL: the region that each belongs to, and the adjective where the data have another form.

The regions are ours, after the regions of the United Nations; the data name none.
"""

from __future__ import annotations

ADJECTIVES = {
    "Afghans": "Afghan",
    "Barundi": "Burundian",
    "Beninois": "Beninese",
    "Comorans": "Comoran",
    "Emiratis": "Emirati",
    "Finns": "Finnish",
    "Greeks": "Greek",
    "Hondurans": "Honduran",
    "Ivorians": "Ivorian",
    "Laos": "Lao",
    "Maldivians": "Maldivian",
    "Myanmar": "Burmese",
    "Netherlanders": "Dutch",
    "Philippine": "Filipino",
    "Singapore": "Singaporean",
    "Slovakians": "Slovak",
    "Somalis": "Somali",
    "Swazis": "Swazi",
    "Swedes": "Swedish",
    "Turks": "Turkish",
    "United KingdomUK": "UK",
    "United States": "American",
    ",New Hampshirite": "New Hampshirite",
    ".New Hampshirite": "New Hampshirite",
    "Arunachalis": "Arunachali",
    "Pennsylvania": "Pennsylvanian",
    "Tamilians": "Tamil",
    "Virgin Islanders": "Virgin Islander",
}
"""Form in the data -> word before "people"."""

REGIONS = {
    "sub-Saharan Africa": "Angolan Barundi Beninois Botswana Cameroonian Chadian Comorans Congolese Djiboutian "
    "Eritrean Ethiopian Gabonese Gambian Ghanaian Guinean Ivorians Kenyan Liberian Madagascan Malawian Malian "
    "Mauritanian Mauritian Mozambican Namibian Nigerian Nigerien Rwandan Senegalese Seychellois Somalis Sudanese "
    "Swazis Tanzanian Togolese Ugandan Zambian Zanzibari Zimbabwean",
    "Middle East and North Africa": "Algerian Bahraini Egyptian Emiratis Iranian Iraqi Israeli Jordanian Kuwaiti "
    "Lebanese Libyan Moroccan Omani Palestinian Qatari Sahrawi Syrian Tunisian Turks Yemeni",
    "South Asia": "Afghans Bangladeshi Bhutanese Indian Maldivians Nepalese Nepali Pakistani",
    "East and Southeast Asia": "Bruneian Cambodian Chinese Indonesian Japanese Laos Malaysian Mongolian Myanmar "
    "Philippine Singapore Taiwanese Thai Timorese Vietnamese",
    "Europe": "Albanian Andorran Armenian Austrian Azerbaijani Belarusian Belgian British Bulgarian Croatian Cypriot "
    "Czech Danish English Estonian Faroese Finns French Georgian German Gibraltar Greeks Guernsey Herzegovinian "
    "Hungarian Icelandic Irish Italian Kosovar Latvian Liechtensteiner Lithuanian Luxembourg Macedonian Maltese Manx "
    "Moldovan Montenegrin Netherlanders Norwegian Polish Portuguese Romanian Russian Scottish Serbian Slovakians "
    "Slovenian Spanish Swedes Swiss Ukrainian Welsh",
    "Latin America": "Argentine Belizean Bolivian Brazilian Chilean Colombian Ecuadorian Guatemalan Guyanese Hondurans "
    "Mexican Nicaraguan Panamanian Paraguayan Peruvian Salvadoran Surinamese Uruguayan Venezuelan",
    "North America": "Bermudan Canadian",
    "Oceania": "Australian",
}
"""Identities of one word by region."""
PHRASES = {
    "sub-Saharan Africa": (
        "Cabo Verdean",
        "Central African",
        "Equatorial Guinean",
        "Sierra Leonean",
        "South African",
        "South Sudanese",
    ),
    "Middle East and North Africa": ("Saudi Arabian",),
    "South Asia": ("Sri Lankan",),
    "East and Southeast Asia": ("Hong Kong", "North Korean", "South Korean"),
    "Europe": ("Northern Irish", "United KingdomUK"),
    "Latin America": ("Costa Rican", "French Guianese"),
    "North America": ("United States",),
    "Oceania": ("Christmas Island", "Cocos Island", "New Zealand"),
}
"""Identities of several words by region."""
REGION_OF = {name: region for region, names in REGIONS.items() for name in (*names.split(), *PHRASES[region])}


def adjective(identity: str) -> str:
    """The word that stands before "people"."""
    return ADJECTIVES.get(identity, identity)
