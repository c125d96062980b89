"use strict";
/* What the page knows of its runs. */

const PAGE = JSON.parse(document.getElementById("page-data").textContent);
