/* Names for synthetic people: common given names and surnames of five languages, the commonest first, in no real order
 * of frequency; places and postcodes are invented. No real register went into these lists. */
#include "tools/synth.h"

#define COUNT(list) (uint32_t)(sizeof(list) / sizeof(list)[0])

static const char *const french_men[] = {
	"Thomas",    "Nicolas",  "Julien", "Alexandre", "Mathieu",  "Lucas",     "Antoine", "Pierre",
	"Maxime",    "Hugo",     "Théo",   "François",  "Étienne",  "Rémi",      "Loïc",    "Jérôme",
	"Sébastien", "Frédéric", "Cédric", "Guillaume", "Jean-Luc", "Benoît",    "Yann",    "Fabrice",
	"Adrien",    "Olivier",  "Gaël",   "Quentin",   "Bastien",  "Jean-Paul",
};

static const char *const french_women[] = {
	"Marie",   "Camille", "Julie",       "Léa",     "Sophie",   "Claire",  "Émilie",  "Chloé", "Manon",    "Hélène",
	"Aurélie", "Céline",  "Élodie",      "Amélie",  "Nathalie", "Mélanie", "Océane",  "Zoé",   "Agnès",    "Noémie",
	"Inès",    "Margaux", "Anne-Sophie", "Valérie", "Solène",   "Gaëlle",  "Coralie", "Anaïs", "Delphine", "Maëlle",
};

static const char *const french_surnames[] = {
	"Martin",  "Bernard",   "Dubois",    "Moreau",      "Laurent",  "Lefèvre",  "Roux",     "Fournier",  "Girard",
	"Mercier", "Lambert",   "Fontaine",  "Rousseau",    "Garnier",  "Faure",    "Lefebvre", "Chevalier", "François",
	"Legrand", "Gauthier",  "Perrin",    "Morin",       "Barbier",  "Renard",   "Clément",  "Noël",      "Gérard",
	"Lacroix", "Bourgeois", "Leclercq",  "Guérin",      "Rivière",  "Aubert",   "Brunet",   "Dumont",    "Marchal",
	"Renaud",  "Le Goff",   "d'Aubigné", "de Villiers", "Prévost",  "Collet",   "Berger",   "Caron",     "Thévenet",
	"Béraud",  "Vasseur",   "Pichon",    "Delorme",     "Maréchal", "Poirier",  "Lemaître", "Besson",    "Hervé",
	"Tanguy",  "Gosselin",  "Ferrand",   "Chauvin",     "Delmas",   "Courtois",
};

static const char *const dutch_men[] = {
	"Jan",     "Daan",    "Sem",   "Bram",   "Thijs",  "Joris",    "Ruben",    "Sander", "Jeroen", "Wouter",
	"Pieter",  "Maarten", "Koen",  "Stijn",  "Niels",  "Bas",      "Gijs",     "Jasper", "Tijmen", "Rik",
	"Hendrik", "Willem",  "Joost", "Marnix", "Floris", "Diederik", "Cornelis", "Sjoerd", "Teun",   "Jaap",
};

static const char *const dutch_women[] = {
	"Anna",   "Emma",  "Sanne",  "Lotte",   "Eva",    "Fleur",   "Femke",  "Maaike",   "Anouk",   "Marieke",
	"Iris",   "Roos",  "Lieke",  "Esther",  "Ilse",   "Marloes", "Inge",   "Karin",    "Nienke",  "Renske",
	"Saskia", "Wendy", "Mirjam", "Hanneke", "Tineke", "Jolien",  "Heleen", "Annelies", "Marleen", "Geertje",
};

static const char *const dutch_surnames[] = {
	"Jansen",    "de Vries",    "Bakker",        "Visser",    "van den Berg",   "Smit",         "Meijer",
	"de Boer",   "Mulder",      "Bos",           "Vos",       "Peters",         "Hendriks",     "van Leeuwen",
	"Dekker",    "Brouwer",     "de Wit",        "Dijkstra",  "Smits",          "van der Meer", "van der Linden",
	"Kok",       "Jacobs",      "de Haan",       "Vermeulen", "van den Heuvel", "van der Veen", "van den Broek",
	"Schouten",  "van Beek",    "Willems",       "van Vliet", "Hoekstra",       "Koster",       "Prins",
	"Blom",      "Huisman",     "Peeters",       "Kuipers",   "van Dam",        "van Wijk",     "Postma",
	"Kramer",    "Veenstra",    "van den Bosch", "Wolters",   "Scholten",       "Timmermans",   "Groen",
	"Gerritsen", "Bosch",       "van Loon",      "Verhoeven", "Molenaar",       "Maas",         "Verbeek",
	"Hermans",   "van der Wal", "Driessen",      "ter Horst",
};

static const char *const german_men[] = {
	"Michael", "Stefan",     "Andreas", "Christian", "Jürgen",    "Wolfgang", "Lukas",      "Felix",
	"Jonas",   "Maximilian", "Tobias",  "Florian",   "Sebastian", "Jörg",     "Björn",      "Matthias",
	"Günther", "Rainer",     "Uwe",     "Dirk",      "Sören",     "Götz",     "Karl-Heinz", "Klaus",
	"Markus",  "Holger",     "Bernd",   "Thorsten",  "Ralf",      "Volker",
};

static const char *const german_women[] = {
	"Anna",    "Sabine",  "Petra",  "Monika", "Ursula",    "Heike",     "Katrin", "Julia", "Laura",  "Lena",
	"Johanna", "Käthe",   "Jördis", "Bärbel", "Birgit",    "Gudrun",    "Silke",  "Anke",  "Ulrike", "Franziska",
	"Annika",  "Melanie", "Nadine", "Steffi", "Anneliese", "Rosemarie", "Frauke", "Antje", "Wiebke", "Marlene",
};

static const char *const german_surnames[] = {
	"Müller",   "Schmidt",    "Schneider", "Fischer", "Weber",   "Meyer",       "Wagner",  "Becker",   "Schulz",
	"Hoffmann", "Schäfer",    "Koch",      "Bauer",   "Richter", "Klein",       "Wolf",    "Schröder", "Neumann",
	"Schwarz",  "Zimmermann", "Braun",     "Krüger",  "Hofmann", "Hartmann",    "Lange",   "Schmitt",  "Werner",
	"Krause",   "Meier",      "Lehmann",   "Köhler",  "Huber",   "Walter",      "Mayer",   "Kaiser",   "Fuchs",
	"Lang",     "Scholz",     "Möller",    "Weiß",    "Jung",    "Hahn",        "Vogel",   "Günther",  "Keller",
	"Frank",    "Berger",     "Winkler",   "Roth",    "Beck",    "Lorenz",      "Baumann", "Albrecht", "Schuster",
	"Böhm",     "Voß",        "von Stein", "Groß",    "Thiele",  "Pohl-Sommer",
};

static const char *const italian_men[] = {
	"Marco",     "Alessandro", "Giuseppe", "Luca",    "Andrea",   "Matteo",  "Davide",   "Francesco",
	"Lorenzo",   "Simone",     "Antonio",  "Roberto", "Paolo",    "Stefano", "Giovanni", "Riccardo",
	"Salvatore", "Nicolò",     "Emanuele", "Fabio",   "Gianluca", "Pietro",  "Domenico", "Vincenzo",
	"Massimo",   "Enrico",     "Raffaele", "Tommaso", "Daniele",  "Niccolò",
};

static const char *const italian_women[] = {
	"Giulia",   "Francesca", "Chiara",  "Sara",     "Martina",  "Alessia",   "Elisa",  "Valentina",
	"Federica", "Silvia",    "Paola",   "Laura",    "Elena",    "Roberta",   "Ilaria", "Giorgia",
	"Arianna",  "Serena",    "Claudia", "Cristina", "Beatrice", "Lucia",     "Noemi",  "Rosaria",
	"Carmela",  "Concetta",  "Angela",  "Simona",   "Michela",  "Donatella",
};

static const char *const italian_surnames[] = {
	"Rossi",      "Russo",     "Ferrari",   "Esposito", "Bianchi",    "Romano",    "Colombo",    "Ricci",
	"Marino",     "Greco",     "Bruno",     "Gallo",    "Conti",      "De Luca",   "Mancini",    "Costa",
	"Giordano",   "Rizzo",     "Lombardi",  "Moretti",  "Barbieri",   "Fontana",   "Santoro",    "Mariani",
	"Rinaldi",    "Caruso",    "Ferrara",   "Galli",    "Martini",    "Leone",     "Longo",      "Gentile",
	"Martinelli", "Vitale",    "Lombardo",  "Serra",    "Coppola",    "De Santis", "D'Angelo",   "Marchetti",
	"Parisi",     "Villa",     "Conte",     "Ferraro",  "Ferri",      "Fabbri",    "Bianco",     "Marini",
	"Grasso",     "Valentini", "Messina",   "Sala",     "De Angelis", "Gatti",     "Pellegrini", "Palumbo",
	"Sanna",      "Farina",    "Dell'Orto", "Bernardi",
};

static const char *const spanish_men[] = {
	"Antonio", "José",  "Manuel", "Francisco", "David",  "Javier", "Daniel",   "Carlos",  "Miguel", "Alejandro",
	"Rafael",  "Pedro", "Ángel",  "Jesús",     "Sergio", "Pablo",  "Fernando", "Jorge",   "Luis",   "Alberto",
	"Álvaro",  "Juan",  "Diego",  "Adrián",    "Raúl",   "Iván",   "Rubén",    "Enrique", "Andrés", "Joaquín",
};

static const char *const spanish_women[] = {
	"María",      "Carmen",  "Ana",    "Isabel", "Laura",   "Cristina",    "Marta",  "Lucía",
	"Elena",      "Pilar",   "Raquel", "Sara",   "Paula",   "Rosa",        "Teresa", "Silvia",
	"Patricia",   "Beatriz", "Mónica", "Rocío",  "Sofía",   "Andrea",      "Irene",  "Inés",
	"Montserrat", "Alba",    "Nuria",  "Begoña", "Ángeles", "Encarnación",
};

static const char *const spanish_surnames[] = {
	"García",  "Rodríguez", "González", "Fernández", "López",     "Martínez",     "Sánchez", "Pérez",   "Gómez",
	"Martín",  "Jiménez",   "Ruiz",     "Hernández", "Díaz",      "Moreno",       "Muñoz",   "Álvarez", "Romero",
	"Alonso",  "Gutiérrez", "Navarro",  "Torres",    "Domínguez", "Vázquez",      "Ramos",   "Gil",     "Ramírez",
	"Serrano", "Blanco",    "Molina",   "Morales",   "Suárez",    "Ortega",       "Delgado", "Castro",  "Ortiz",
	"Rubio",   "Marín",     "Sanz",     "Núñez",     "Iglesias",  "Medina",       "Garrido", "Cortés",  "Castillo",
	"Santos",  "Lozano",    "Guerrero", "Cano",      "Prieto",    "Méndez",       "Cruz",    "Calvo",   "Gallego",
	"Vidal",   "León",      "Márquez",  "Herrera",   "Peña",      "García López",
};

static const struct synth_names languages[SYNTH_LANGUAGES] = {
	{french_men, french_women, french_surnames, COUNT(french_men), COUNT(french_women), COUNT(french_surnames)},
	{dutch_men, dutch_women, dutch_surnames, COUNT(dutch_men), COUNT(dutch_women), COUNT(dutch_surnames)},
	{german_men, german_women, german_surnames, COUNT(german_men), COUNT(german_women), COUNT(german_surnames)},
	{italian_men, italian_women, italian_surnames, COUNT(italian_men), COUNT(italian_women),
	 COUNT(italian_surnames)},
	{spanish_men, spanish_women, spanish_surnames, COUNT(spanish_men), COUNT(spanish_women),
	 COUNT(spanish_surnames)},
};

const struct synth_names *synth_names(uint32_t language)
{
	return &languages[language];
}

const char *const synth_regions[SYNTH_REGIONS] = {"north", "east", "south", "west"};

static const char *const places_north[] = {
	"Nordhaven",  "Sankt Alban", "Vieux-Pont", "Oosterkerk", "Monteverde",  "Bahía Clara",         "Elmstedt",
	"Le Chêne",   "Waterdijk",   "Torre Alta", "Grünfeld",   "Pontebianco", "Villanueva del Faro", "Hoogmeer",
	"Saint-Loup",
};

static const char *const places_east[] = {
	"Ostmark",       "Rivalta",    "Beaumont-sur-Orle", "Zandvoorde",   "Las Encinas",
	"Königsau",      "Castelnero", "Molenbeke",         "Puerto Viejo", "Altwasser",
	"Belvedere Sud", "La Garenne", "Kruisdorp",         "Santa Olaya",  "Tiefenbronn",
};

static const char *const places_south[] = {
	"Südhafen",         "Marina Grande", "Port-Cigale",  "Lage Brug",  "Villaflor",
	"Steinbach am See", "Fontechiara",   "Les Tilleuls", "Veenwijk",   "El Molino",
	"Rosenthal",        "Campolungo",    "Saint-Amour",  "Zuiderburg", "Río Seco",
};

static const char *const places_west[] = {
	"Westerlo",  "Abendroth", "Côte-Noire", "Pozzoforte",  "Cabo Bravo", "Meerlaan", "Hohenfels",  "Montclair",
	"San Telmo", "Rietveld",  "Valdoro",    "Grande-Rive", "Duinzicht",  "Peñalba",  "Langenwald",
};

static const char *const *const places[SYNTH_REGIONS] = {places_north, places_east, places_south, places_west};

uint32_t synth_n_places(void)
{
	return COUNT(places_north);
}

const char *synth_place(uint32_t region, uint32_t place)
{
	return places[region][place];
}

uint32_t synth_postcode(uint32_t region, uint32_t place, uint32_t quarter)
{
	/* Gaps between places, so that a mistyped postcode may be nobody's. */
	return 10000 + 20000 * region + 617 * place + 7 * quarter;
}
