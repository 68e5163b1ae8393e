/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What report.html does on a screen, and need not: fold its sections, and filter its tables by a word.
 * The report is whole without it, and on paper nothing is folded. The policy in report_style.c
 * allows this script alone, by its digest: whatever else got into the page does not run.
 */
#include "vdiskck/report_internal.h"

const char report_script[] =
	"<script>\"use strict\";(function(){\n"
	"var main=document.querySelector('main'),nav=document.querySelector('nav');\n"
	"function fold(head,open){var b=head.querySelector('button');\n"
	"b.setAttribute('aria-expanded',open);b.textContent=open?'\\u2212':'+';\n"
	"for(var e=head.nextElementSibling;e&&e.tagName!=='H2';e=e.nextElementSibling)\n"
	"e.classList.toggle('folded',!open);}\n"
	"function show(){var e=document.getElementById(location.hash.slice(1));\n"
	"while(e&&e.parentNode!==main)e=e.parentNode;\n"
	"while(e&&e.tagName!=='H2')e=e.previousElementSibling;if(e)fold(e,true);}\n"
	"main.querySelectorAll(':scope>h2').forEach(function(head){\n"
	"var b=document.createElement('button');b.type='button';b.className='fold';\n"
	"b.setAttribute('aria-label','fold '+head.textContent);head.append(b);fold(head,true);\n"
	"b.onclick=function(){fold(head,b.getAttribute('aria-expanded')!=='true');};});\n"
	"var box=document.createElement('input'),said=document.createElement('span');\n"
	"box.type='search';box.placeholder='filter the tables: a file, a finding, an address';\n"
	"box.setAttribute('aria-label',box.placeholder);said.className='dim';\n"
	"said.setAttribute('role','status');\n"
	"var rows=main.querySelectorAll('tbody tr,.lane:not(.axis)');\n"
	"box.oninput=function(){var word=box.value.toLowerCase(),n=0;\n"
	"rows.forEach(function(r){var out=!!word&&!r.textContent.toLowerCase().includes(word);\n"
	"r.classList.toggle('out',out);n+=!out;});\n"
	"main.querySelectorAll('article').forEach(function(a){\n"
	"a.classList.toggle('out',!!word&&!!a.querySelector('tr')&&!a.querySelector('tbody tr:not(.out)'));});\n"
	"said.textContent=word?n+' of '+rows.length+' rows':'';};\n"
	"var line=document.createElement('div');line.className='filter';line.append(box,said);\n"
	"nav.after(line);addEventListener('hashchange',show);})();</script>\n";
